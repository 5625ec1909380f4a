/** Who is logged in: kept in `localStorage`, ended by logging out, by a token that is no good any more, or by another tab. */

import { Api, Client, type User } from "@confab/client";
import { type InjectionKey, inject, type ShallowRef, shallowRef } from "vue";
import type { Config } from "./config";
import { go, route } from "./route";

const KEY = "confab.session";

interface Kept {
  readonly token: string;
  readonly user: User;
}

export interface Session {
  readonly api: Api;
  readonly client: Client;
  readonly user: User;
}

export interface Account {
  readonly session: Readonly<ShallowRef<Session | undefined>>;
  /** Why one has to log in. */
  readonly notice: Readonly<ShallowRef<string>>;
  logIn(username: string, password: string): Promise<void>;
  register(username: string, email: string, password: string): Promise<void>;
  logOut(): void;
}

export const accountKey: InjectionKey<Account> = Symbol("account");
export const sessionKey: InjectionKey<Session> = Symbol("session");

export function useAccount(): Account {
  return injected(accountKey);
}

/** The session, for what is only shown to who is logged in. */
export function useSession(): Session {
  return injected(sessionKey);
}

export function injected<Value>(key: InjectionKey<Value>): Value {
  const value = inject(key);
  if (value === undefined) throw new Error(`Nothing is provided for ${key.description}.`);
  return value;
}

export function createAccount(config: Config): Account {
  const session = shallowRef<Session>();
  const notice = shallowRef("");
  /** Where one wanted to go before one had to log in. */
  let wanted = "#/";

  function begin({ token, user }: Kept): void {
    const api = new Api({ url: config.api, token });
    const client = new Client({ api, socketUrl: config.websocket, me: user, storage: localStorage });
    client.connection.on("state", (state) => {
      if (state === "expired") end("You were logged out. Log in again.");
    });
    session.value = { api, client, user };
    notice.value = "";
    if (route.value.name === "login" || route.value.name === "register") go(wanted, { replace: true });
  }

  function end(why = ""): void {
    session.value?.client.close();
    session.value = undefined;
    localStorage.removeItem(KEY);
    notice.value = why;
    askToLogIn();
  }

  function askToLogIn(): void {
    const { name } = route.value;
    if (name === "login" || name === "register") return;
    wanted = location.hash || "#/";
    go("#/login", { replace: true });
  }

  async function logIn(username: string, password: string): Promise<void> {
    const api = new Api({ url: config.api });
    const kept: Kept = { token: await api.logIn(username, password), user: await api.me() };
    localStorage.setItem(KEY, JSON.stringify(kept));
    begin(kept);
  }

  async function register(username: string, email: string, password: string): Promise<void> {
    await new Api({ url: config.api }).register({ username, password, ...(email && { email }) });
    await logIn(username, password);
  }

  function logOut(): void {
    const { api } = session.value ?? {};
    end();
    wanted = "#/";
    // Whoever cannot reach the server leaves anyway; the token dies when it has not been used for long.
    api?.logOut().catch(() => {});
  }

  addEventListener("storage", ({ key, newValue }) => {
    if (key !== KEY && key !== null) return;
    if (newValue !== null) location.reload();
    else if (session.value) end();
  });
  addEventListener("hashchange", () => {
    if (!session.value) askToLogIn();
  });

  const kept = localStorage.getItem(KEY);
  if (kept === null) askToLogIn();
  else begin(JSON.parse(kept));
  return { session, notice, logIn, register, logOut };
}
