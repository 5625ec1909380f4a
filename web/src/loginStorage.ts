/** The login in the browser's storage, which all tabs share. */

import type { User } from "@confab/client";
import { readItem, storage } from "./storage";

/** Logins are stored under this name since the first version. */
export const LOGIN_KEY = "confab.session";

export interface StoredLogin {
  readonly token: string;
  readonly user: User;
  /** The subject of the JWT that the login is from. */
  readonly subject?: string | undefined;
}

export function readLogin(): StoredLogin | undefined {
  return readItem(LOGIN_KEY, isStoredLogin);
}

export function writeLogin({ token, user, subject }: StoredLogin): void {
  storage.setItem(LOGIN_KEY, JSON.stringify({ token, user, subject }));
}

/** Removes the login with this token. Another tab may have stored a newer one. */
export function removeLogin(token: string | undefined): void {
  if (readLogin()?.token === token) storage.removeItem(LOGIN_KEY);
}

function isStoredLogin(value: unknown): value is StoredLogin {
  const { token, user, subject = "" } = Object(value);
  const { id, username, email, first_name, last_name } = Object(user);
  const isUser = [username, email, first_name, last_name].every((part) => typeof part === "string");
  return (
    typeof token === "string" &&
    /^\w+$/.test(token) &&
    Number.isSafeInteger(id) &&
    isUser &&
    typeof subject === "string"
  );
}
