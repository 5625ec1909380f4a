/** Who is logged in: kept beyond the page, ended by logging out, by a token that is no good any more, or by another tab. */

import { Api, Client, type User } from "@confab/client";
import { type InjectionKey, inject, type ShallowRef, shallowReactive, shallowRef } from "vue";
import type { Config } from "../config";
import { kept, recall } from "../storage";
import { deleteDrafts, dropDrafts } from "./useDraft";
import { go, route } from "./useRoute";

const KEY = "confab.session";

interface Kept {
  readonly token: string;
  readonly user: User;
}

function isKept(value: unknown): value is Kept {
  const { token, user } = Object(value);
  const { id, username, email, first_name, last_name } = Object(user);
  const isUser = [username, email, first_name, last_name].every((part) => typeof part === "string");
  return typeof token === "string" && /^\w+$/.test(token) && Number.isSafeInteger(id) && isUser;
}

export interface Session {
  readonly api: Api;
  readonly client: Client;
  /** Reactive: the same object, whatever one changes of one's profile. */
  readonly user: User;
}

export interface Account {
  readonly session: Readonly<ShallowRef<Session | undefined>>;
  /** Why one has to log in. */
  readonly notice: Readonly<ShallowRef<string>>;
  logIn(username: string, password: string): Promise<void>;
  /** Makes an account, and does not log in with it yet. */
  register(username: string, email: string, password: string): Promise<void>;
  /** Takes in what one has changed of one's profile. */
  update(user: User): void;
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
  /** Who wanted that, if they had been logged in. */
  let wantedBy: number | undefined;

  function begin({ token, user }: Kept): void {
    const api = new Api({ url: config.api, token });
    const client = new Client({ api, socketUrl: config.websocket, me: user, storage: kept });
    client.connection.on("state", (state) => {
      if (state === "expired") end("You were logged out. Log in again.");
    });
    session.value = { api, client, user: shallowReactive({ ...user }) };
    notice.value = "";
    if (wantedBy !== undefined && wantedBy !== user.id) wanted = "#/";
    if (route.value.name === "login" || route.value.name === "register") go(wanted, { replace: true });
    wanted = "#/";
    wantedBy = undefined;
  }

  function end(why = ""): void {
    const { client, api, user } = session.value ?? {};
    client?.close();
    session.value = undefined;
    dropDrafts();
    // Another tab may have logged in anew, and this one may hear of it late.
    if (recall(KEY, isKept)?.token === api?.token) kept.removeItem(KEY);
    notice.value = why;
    askToLogIn(user?.id);
  }

  function askToLogIn(who?: number): void {
    const { name } = route.value;
    if (name === "login" || name === "register") return;
    wanted = location.hash || "#/";
    wantedBy = who;
    go("#/login", { replace: true });
  }

  async function logIn(username: string, password: string): Promise<void> {
    const api = new Api({ url: config.api });
    const begun: Kept = { token: await api.logIn(username, password), user: await api.me() };
    kept.setItem(KEY, JSON.stringify(begun));
    begin(begun);
  }

  async function register(username: string, email: string, password: string): Promise<void> {
    await new Api({ url: config.api }).register({ username, password, ...(email && { email }) });
  }

  function update(user: User): void {
    const { api, user: known } = session.value ?? {};
    // By the time of the answer somebody else may be logged in.
    if (known?.id !== user.id) return;
    Object.assign(known, user);
    kept.setItem(KEY, JSON.stringify({ token: api?.token, user }));
  }

  function logOut(): void {
    const { api, user } = session.value ?? {};
    end();
    if (user) deleteDrafts(user);
    wanted = "#/";
    // Whoever cannot reach the server leaves anyway; the token dies when it has not been used for long.
    api?.logOut().catch(() => {});
  }

  addEventListener("storage", ({ key }) => {
    if (key !== KEY && key !== null) return;
    // A tab that slept hears late of what was changed, and more may have been changed since.
    const now = recall(KEY, isKept);
    const { api, user } = session.value ?? {};
    if (now && user && now.token === api?.token) Object.assign(user, now.user);
    else if (now) location.reload();
    else if (session.value) end();
  });
  addEventListener("hashchange", () => {
    if (!session.value) askToLogIn();
  });

  const begun = recall(KEY, isKept);
  if (begun) begin(begun);
  else askToLogIn();
  return { session, notice, logIn, register, update, logOut };
}
