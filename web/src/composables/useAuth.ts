/**
 * Authentication. A login is stored beyond the page; it ends by logging out, in this tab or another, or when its token
 * expires.
 */

import { Api, Client, type User } from "@confab/client";
import { type InjectionKey, type ShallowRef, shallowReactive, shallowRef } from "vue";
import type { Config } from "../config";
import { type Jwt, subjectOf } from "../hostPage";
import { injectRequired } from "../injection";
import { LOGIN_KEY, readLogin, removeLogin, type StoredLogin, writeLogin } from "../loginStorage";
import { isAccountRoute } from "../routes";
import { storage } from "../storage";
import { deleteDrafts, unloadDrafts } from "./useDraft";
import type { Login } from "./useLogin";
import { navigate, useRoute } from "./useRoute";

export interface Auth {
  readonly login: Readonly<ShallowRef<Login | undefined>>;
  /** Why the user has to log in, for display. */
  readonly notice: Readonly<ShallowRef<string>>;
  /** The API without a token. */
  readonly accounts: Api;
  logIn(username: string, password: string): Promise<void>;
  /** Creates an account, and returns whether it is active. This does not log in. */
  register(username: string, email: string, password: string): Promise<boolean>;
  /** Shows a notice at the login. */
  showNotice(notice: string): void;
  /** Whether to offer registration. */
  readonly canRegister: boolean;
  /** Logs in with a JWT. A login of the same user stays. */
  exchange(jwt: Jwt): Promise<void>;
  /** Stores changes of the user's profile. */
  updateUser(user: User): void;
  logOut(): void;
  /** Ends the login of an account that has been deleted. */
  leave(reason: string): void;
}

export const authKey: InjectionKey<Auth> = Symbol("auth");

export function useAuth(): Auth {
  return injectRequired(authKey);
}

export function createAuth(config: Config): Auth {
  const login = shallowRef<Login>();
  const notice = shallowRef("");
  const redirect = createRedirect();
  let subject: string | undefined;
  /** Gets a JWT for when the login expires. */
  let renewal: Jwt | undefined;

  function begin({ token, user, subject: newSubject }: StoredLogin): void {
    subject = newSubject;
    const api = new Api({ url: config.api, token });
    const client = new Client({ api, socketUrl: config.websocket, me: user, storage });
    client.connection.on("state", (state) => {
      if (state !== "expired") return;
      end("You were logged out. Log in again.");
      if (renewal) exchange(renewal).catch(() => {});
    });
    login.value = { api, client, user: shallowReactive({ ...user }) };
    notice.value = "";
    redirect.afterLogin(user);
  }

  function end(reason = ""): void {
    const { client, api, user } = login.value ?? {};
    client?.close();
    login.value = undefined;
    unloadDrafts();
    removeLogin(api?.token);
    notice.value = reason;
    redirect.toLogin(user);
  }

  async function logIn(username: string, password: string): Promise<void> {
    const api = new Api({ url: config.api });
    const stored: StoredLogin = { token: await api.logIn(username, password), user: await api.me() };
    writeLogin(stored);
    begin(stored);
  }

  async function register(username: string, email: string, password: string): Promise<boolean> {
    const account = { username, password, ...(email && { email }) };
    const { is_active: isActive } = await new Api({ url: config.api }).register(account);
    // Earlier servers have no inactive accounts.
    return isActive ?? true;
  }

  function showNotice(text: string): void {
    notice.value = text;
    navigate("#/login", { replace: true });
  }

  async function exchange(jwt: Jwt): Promise<void> {
    const text = typeof jwt === "string" ? jwt : await jwt();
    renewal = typeof jwt === "string" ? undefined : jwt;
    const newSubject = subjectOf(text);
    if (login.value && subject !== undefined && subject === newSubject) return;
    const api = new Api({ url: config.api });
    const stored: StoredLogin = { token: await api.exchange(text), user: await api.me(), subject: newSubject };
    const { api: former } = login.value ?? {};
    if (former) end();
    former?.logOut().catch(() => {});
    writeLogin(stored);
    begin(stored);
  }

  function updateUser(user: User): void {
    const { api, user: current } = login.value ?? {};
    // Another user may have logged in since the request.
    if (api?.token === undefined || current?.id !== user.id) return;
    Object.assign(current, user);
    writeLogin({ token: api.token, user, subject });
  }

  function leave(reason = ""): void {
    const { user } = login.value ?? {};
    renewal = undefined;
    end(reason);
    if (user) deleteDrafts(user);
    redirect.clear();
  }

  function logOut(): void {
    const { api } = login.value ?? {};
    leave();
    // Without a connection, the token expires when it has not been used for some time.
    api?.logOut().catch(() => {});
  }

  addEventListener("storage", ({ key }) => {
    if (key !== LOGIN_KEY && key !== null) return;
    // The event of a tab that was suspended may be outdated, so its value is not used.
    const stored = readLogin();
    const { api, user } = login.value ?? {};
    if (stored && user && stored.token === api?.token) Object.assign(user, stored.user);
    else if (stored) location.reload();
    else if (login.value) end();
  });
  addEventListener("hashchange", () => {
    if (!login.value) redirect.toLogin();
  });

  const stored = readLogin();
  if (stored) begin(stored);
  else redirect.toLogin();
  const [accounts, canRegister] = [new Api({ url: config.api }), config.registration];
  return { login, notice, accounts, canRegister, logIn, exchange, register, showNotice, updateUser, logOut, leave };
}

/** Redirects to the login page, and after logging in back to the page that the same user wanted. */
function createRedirect() {
  const route = useRoute();
  let target = "#/";
  /** The user who wanted it, if logged in. */
  let targetOf: number | undefined;
  const isAuthPage = () => isAccountRoute(route.value);

  function clear(): void {
    target = "#/";
    targetOf = undefined;
  }

  function toLogin(user?: User): void {
    if (isAuthPage()) return;
    target = location.hash || "#/";
    targetOf = user?.id;
    navigate("#/login", { replace: true });
  }

  function afterLogin(user: User): void {
    if (targetOf !== undefined && targetOf !== user.id) clear();
    // Who is logged in can follow the link in a mail, too.
    if (isAuthPage() && !("token" in route.value)) navigate(target, { replace: true });
    clear();
  }

  return { clear, toLogin, afterLogin };
}
