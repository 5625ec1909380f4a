/** The HTTP API: a method per endpoint. */

import { Emitter } from "./emitter.js";
import { createEnvironment, type Environment } from "./environment.js";
import { encodePathSegment, toJson } from "./text.js";
import type { EphemeralState, Message, User } from "./wire.js";

/** In milliseconds. Longer than the time-outs of the server. */
const REQUEST_TIMEOUT = 30_000;

/** A chat, as shown to its members. */
export interface ChatDetail extends EphemeralState {
  readonly id: number;
  readonly uri: string;
  readonly owner: User | null;
  /** The owner first, then the others in the order in which they joined. In large chats, only the first page. */
  readonly members: readonly User[];
  /** The number of members. May be absent if `members` has all of them. */
  readonly member_count?: number;
  /** The URL of the next page of members, or null after the last page. */
  readonly members_next?: string | null;
  readonly last_id: number;
  readonly create_date: string;
  readonly update_date: string;
}

/** A chat in the list of chats. */
export interface ChatSummary {
  readonly id: number;
  readonly uri: string;
  readonly owner: User;
  readonly member_count: number;
  readonly last_id: number;
  readonly last_message: Message | null;
  readonly read_id: number;
  /** The number of messages of others after `read_id`, at most 99; `unread_more` if there are more. */
  readonly unread: number;
  readonly unread_more: boolean;
  readonly create_date: string;
  readonly update_date: string;
}

/** A page of the user's chats, latest activity first; `next` is the URL of the next page. */
export interface ChatPage {
  readonly chats: readonly ChatSummary[];
  readonly next: string | null;
}

/** A page of a chat's members; `next` is the URL of the next page. */
export interface MemberPage {
  readonly members: readonly User[];
  readonly next: string | null;
}

/** A page of a chat's history, oldest first; `next` and `previous` are the URLs of the adjacent pages. */
export interface HistoryPage {
  readonly id: number;
  readonly uri: string;
  readonly last_id: number;
  readonly messages: readonly Message[];
  readonly next: string | null;
  readonly previous: string | null;
}

/**
 * A page of search results, newest first. A page with a `next` may be empty, since each request searches a part of the
 * log.
 */
export interface SearchPage {
  readonly messages: readonly Message[];
  readonly next: string | null;
}

/** The members of a chat after a change. */
export interface MembershipChange {
  /** May be absent in chats of more than 100 members. */
  readonly members?: readonly User[];
  readonly message: string;
  readonly user: User;
  readonly users: readonly User[];
}

/** A message that was posted. */
export interface PostedMessage {
  readonly uri: string;
  readonly id: number;
  readonly message: string;
  readonly reply_to?: number | null;
  readonly user: User;
  readonly create_date: string;
}

/** A token of the user. */
export interface TokenInfo {
  /** A public id, which tells nothing about the token itself. */
  readonly id: string;
  /** The `User-Agent` of the login. Clients may say anything there. */
  readonly client: string | null;
  readonly create_date: string;
  /** When it was used last, to about a day. */
  readonly last_use_date: string;
  /** Whether it is the token of the request. */
  readonly current: boolean;
}

/** The fields of the user's profile that can be changed. */
export type Profile = Partial<Pick<User, "email" | "first_name" | "last_name">>;

/** An error response of the server; `message` is for display. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    /** The HTTP status. */
    readonly status: number,
    message: string,
    /** Validation errors by field; `non_field_errors` has those of the whole request. */
    readonly fields: Readonly<Record<string, readonly string[]>> = {},
    /** The `Retry-After` header, in seconds. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** There was no response, or one from something else, such as the captive portal of a network. */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";
}

/** Whether an error is permanent, so that a retry cannot succeed. */
export function isPermanent(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

/** Whether this is a valid delay in seconds. */
export function isRetryDelay(seconds: unknown): boolean {
  return typeof seconds === "number" && Number.isFinite(seconds) && seconds >= 0;
}

type Query = Readonly<Record<string, string | number | undefined>>;

interface Request {
  readonly query?: Query | string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** The options of an {@link Api}. */
export interface ApiOptions {
  /** The URL of the HTTP API, such as `https://chat.example.com`. */
  readonly url: string;
  /** A token from an earlier {@link Api.logIn}. */
  readonly token?: string;
  readonly environment?: Partial<Environment>;
}

/**
 * The HTTP API. All methods throw {@link ApiError} for an error response, a `TimeoutError` after 30 seconds, the reason
 * of an aborted `signal`, and {@link UnreachableError} if there is no response. The event `unauthorized` reports that
 * the token is no longer valid.
 */
export class Api extends Emitter<{ unauthorized: ApiError }> {
  /** The token after logging in. */
  token: string | undefined;
  readonly #url: string;
  readonly #environment: Environment;

  constructor(options: ApiOptions) {
    super();
    this.#url = options.url.replace(/\/$/, "");
    this.token = options.token;
    this.#environment = createEnvironment(options.environment);
  }

  /** Registers a user. This does not log in. */
  register(
    account: { username: string; password: string } & Profile,
    signal?: AbortSignal,
  ): Promise<Pick<User, "id" | "username" | "email"> & { readonly is_active?: boolean }> {
    return this.#request("POST", "/auth/users/create", { body: account, signal }, false);
  }

  /** Logs in. The returned token is used from now on. */
  async logIn(username: string, password: string, signal?: AbortSignal): Promise<string> {
    const request = { body: { username, password }, signal };
    const response = await this.#request<{ auth_token: string }>("POST", "/auth/token/create", request, false);
    this.token = response.auth_token;
    return response.auth_token;
  }

  /** Logs in with a JWT of another system that the server trusts. The returned token is used from now on. */
  async exchange(jwt: string, signal?: AbortSignal): Promise<string> {
    const request = { body: { token: jwt }, signal };
    const response = await this.#request<{ auth_token: string }>("POST", "/auth/token/exchange", request, false);
    this.token = response.auth_token;
    return response.auth_token;
  }

  /** Requests a mail with which the password can be reset. The answer does not tell whether the address has a user. */
  requestPasswordReset(email: string, signal?: AbortSignal): Promise<void> {
    return this.#request("POST", "/auth/password/reset", { body: { email }, signal }, false);
  }

  /** Sets a new password with `uid` and `token` of the link in a mail, and revokes all tokens. */
  resetPassword(uid: string, token: string, password: string, signal?: AbortSignal): Promise<void> {
    const body = { uid, token, new_password: password };
    return this.#request("POST", "/auth/password/reset/confirm", { body, signal }, false);
  }

  /** Requests the mail with which an account is activated once more. */
  requestActivation(email: string, signal?: AbortSignal): Promise<void> {
    return this.#request("POST", "/auth/users/resend_activation", { body: { email }, signal }, false);
  }

  /** Activates an account with `uid` and `token` of the link in a mail. */
  activate(uid: string, token: string, signal?: AbortSignal): Promise<void> {
    return this.#request("POST", "/auth/users/activate", { body: { uid, token }, signal }, false);
  }

  /** Logs out: revokes the token and closes its sockets. */
  async logOut(signal?: AbortSignal): Promise<void> {
    await this.#request("POST", "/auth/token/destroy", { signal });
    this.token = undefined;
  }

  /** The user's valid tokens, the last used first. */
  async tokens(signal?: AbortSignal): Promise<readonly TokenInfo[]> {
    return (await this.#request<{ tokens: TokenInfo[] }>("GET", "/auth/tokens", { signal })).tokens;
  }

  /** Revokes a token, and closes its sockets. */
  revokeToken(id: string, signal?: AbortSignal): Promise<void> {
    return this.#request("DELETE", `/auth/tokens/${encodePathSegment(id)}`, { signal });
  }

  /** Logs out everywhere else: revokes all other tokens, and closes their sockets. */
  revokeOtherTokens(signal?: AbortSignal): Promise<void> {
    return this.#request("DELETE", "/auth/tokens", { signal });
  }

  /** The profile of the logged-in user. */
  me(signal?: AbortSignal): Promise<User> {
    return this.#request("GET", "/auth/me", { signal });
  }

  /** Updates the profile; omitted fields stay the same. */
  updateMe(profile: Profile, signal?: AbortSignal): Promise<User> {
    return this.#request("PATCH", "/auth/me", { body: profile, signal });
  }

  /** Changes the password, and revokes all other tokens. */
  setPassword(current: string, password: string, signal?: AbortSignal): Promise<void> {
    const body = { current_password: current, new_password: password };
    return this.#request("POST", "/auth/password", { body, signal });
  }

  /** Deletes the account; `messages` stay without a name (`keep`) or are deleted, too (`erase`). */
  deleteMe(password: string, messages: "keep" | "erase", signal?: AbortSignal): Promise<void> {
    return this.#request("POST", "/auth/users/delete", { body: { current_password: password, messages }, signal });
  }

  /** The user's own data: the profile, the chats and the user's messages, as JSON Lines. */
  async exportMe(signal?: AbortSignal): Promise<string> {
    let lines = "";
    let query: Query | string = {};
    for (;;) {
      const { response, text } = await this.#send("GET", "/auth/users/me/export", { query, signal }, true);
      lines += text;
      const next = /^<([^>]*)>/.exec(response.headers.get("Link") ?? "")?.[1];
      if (next === undefined) return lines;
      query = next;
    }
  }

  /** Changes the username. Tokens stay valid. */
  setUsername(current: string, username: string, signal?: AbortSignal): Promise<void> {
    const body = { current_password: current, new_username: username };
    return this.#request("POST", "/auth/username", { body, signal });
  }

  /** The user's chats: the first `limit` (by default 20, at most 100), or the page with this URL. */
  chats(page: { limit?: number } | string = {}, signal?: AbortSignal): Promise<ChatPage> {
    return this.#request("GET", "/api/chats", { query: page, signal });
  }

  /** Creates a chat, and returns its uri, with which others can join. */
  async createChat(signal?: AbortSignal): Promise<string> {
    return (await this.#request<{ uri: string }>("POST", "/api/chats", { signal })).uri;
  }

  /** A chat with its members. */
  chat(uri: string, signal?: AbortSignal): Promise<ChatDetail> {
    return this.#request("GET", chatPath(uri), { signal });
  }

  /** The page of a chat's members with this URL, such as {@link ChatDetail.members_next}. */
  members(uri: string, page: string, signal?: AbortSignal): Promise<MemberPage> {
    return this.#request("GET", `${chatPath(uri)}/members`, { query: page, signal });
  }

  /** Joins a chat, with the user's own username, or adds others (at most 24, all or none). */
  join(uri: string, usernames: string | readonly string[], signal?: AbortSignal): Promise<MembershipChange> {
    const body = typeof usernames === "string" ? { username: usernames } : { usernames };
    return this.#request("PATCH", chatPath(uri), { body, signal });
  }

  /** Makes another member the owner. Only the owner can do this. */
  transferOwnership(uri: string, username: string, signal?: AbortSignal): Promise<MembershipChange> {
    return this.#request("PATCH", chatPath(uri), { body: { owner: username }, signal });
  }

  /** Leaves a chat, or removes another member, which only the owner can do. */
  removeMember(uri: string, username: string, signal?: AbortSignal): Promise<void> {
    return this.#request("DELETE", `${chatPath(uri)}/members/${encodePathSegment(username)}`, { signal });
  }

  /**
   * A page of the history: the last `limit` messages (at most 1,000), those before or after an id, or the page with
   * this URL.
   */
  history(
    uri: string,
    page: { before?: number; after?: number; limit?: number } | string = {},
    signal?: AbortSignal,
  ): Promise<HistoryPage> {
    return this.#request("GET", `${chatPath(uri)}/messages`, { query: page, signal });
  }

  /** Posts a message. A `key` makes this idempotent for a day. {@link Client.send} retries automatically. */
  post(
    uri: string,
    message: string,
    options: { key?: string; replyTo?: number } = {},
    signal?: AbortSignal,
  ): Promise<PostedMessage> {
    const headers: Record<string, string> = options.key === undefined ? {} : { "Idempotency-Key": options.key };
    const body = { message, ...(options.replyTo !== undefined && { reply_to: options.replyTo }) };
    return this.#request("POST", `${chatPath(uri)}/messages`, { body, headers, signal });
  }

  /** Edits a message of the user. */
  edit(uri: string, id: number, message: string, signal?: AbortSignal): Promise<Message> {
    return this.#request("PATCH", `${chatPath(uri)}/messages/${id}`, { body: { message }, signal });
  }

  /** Deletes a message of the user, or any message if the user owns the chat. */
  delete(uri: string, id: number, signal?: AbortSignal): Promise<void> {
    return this.#request("DELETE", `${chatPath(uri)}/messages/${id}`, { signal });
  }

  /** Adds a reaction to a message. */
  react(uri: string, id: number, emoji: string, signal?: AbortSignal): Promise<Message> {
    return this.#request("PUT", reactionPath(uri, id, emoji), { signal });
  }

  /** Removes a reaction from a message. */
  unreact(uri: string, id: number, emoji: string, signal?: AbortSignal): Promise<void> {
    return this.#request("DELETE", reactionPath(uri, id, emoji), { signal });
  }

  /** Searches a chat for messages that have all of these words, or returns the page with this URL. */
  search(
    uri: string,
    page: { q: string; before?: number; limit?: number } | string,
    signal?: AbortSignal,
  ): Promise<SearchPage> {
    return this.#request("GET", `${chatPath(uri)}/search`, { query: page, signal });
  }

  /** Moves the user's read marker forward to an entry, and returns its position. */
  markRead(uri: string, id: number, signal?: AbortSignal): Promise<{ read_id: number }> {
    return this.#request("PUT", `${chatPath(uri)}/read`, { body: { id }, signal });
  }

  async #request<Result>(method: string, path: string, request: Request, authorized = true): Promise<Result> {
    const { text } = await this.#send(method, path, request, authorized);
    return parseBody<Result>(text);
  }

  async #send(
    method: string,
    path: string,
    request: Request,
    authorized: boolean,
  ): Promise<{ response: Response; text: string }> {
    const token = authorized ? this.token : undefined;
    const headers: Record<string, string> = { ...request.headers };
    if (token !== undefined) headers.Authorization = `Token ${token}`;
    if (request.body) headers["Content-Type"] = "application/json";
    const controller = new AbortController();
    const abort = () => controller.abort(request.signal?.reason);
    request.signal?.addEventListener("abort", abort);
    if (request.signal?.aborted) abort();
    const cancel = this.#environment.after(REQUEST_TIMEOUT, () =>
      controller.abort(new DOMException("The server did not answer in time.", "TimeoutError")),
    );
    try {
      const init: RequestInit = { method, headers, signal: controller.signal, cache: "no-store" };
      if (request.body) init.body = toJson(request.body);
      const { response, text } = await this.#fetch(this.#url + path + queryString(request.query), init);
      if (response.ok) return { response, text };
      const error = parseError(response, text);
      if (error.status === 401 && token !== undefined && token === this.token) this.emit("unauthorized", error);
      throw error;
    } finally {
      cancel();
      request.signal?.removeEventListener("abort", abort);
    }
  }

  async #fetch(url: string, init: RequestInit): Promise<{ response: Response; text: string }> {
    try {
      const response = await this.#environment.fetch(url, init);
      return { response, text: await response.text() };
    } catch (cause) {
      throw init.signal?.aborted
        ? init.signal.reason
        : new UnreachableError("The server cannot be reached.", { cause });
    }
  }
}

function parseBody<Result>(text: string): Result {
  try {
    return (text === "" ? undefined : JSON.parse(text)) as Result;
  } catch (cause) {
    throw new UnreachableError("The response cannot be parsed.", { cause });
  }
}

function chatPath(uri: string): string {
  return `/api/chats/${encodePathSegment(uri)}`;
}

function reactionPath(uri: string, id: number, emoji: string): string {
  return `${chatPath(uri)}/messages/${id}/reactions/${encodePathSegment(emoji)}`;
}

/** The query string. Only the query of a page URL is used, since the server may know itself by another host name. */
function queryString(query: Query | string = {}): string {
  if (typeof query === "string") return new URL(query, "http://localhost").search;
  const pairs = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
}

/** Error bodies are `{"detail": "…"}`, `{"field": ["…"]}` or `["…"]`; those of API Gateway are `{"message": "…"}`. */
function parseError(response: Response, text: string): ApiError {
  const fields: Record<string, readonly string[]> = {};
  let message = "";
  try {
    const body: unknown = JSON.parse(text);
    for (const [name, value] of Object.entries(Array.isArray(body) ? { non_field_errors: body } : Object(body))) {
      if (Array.isArray(value)) fields[name] = value.map(String);
      else if (name === "detail" || name === "message") message ||= String(value);
    }
  } catch {
    // Not from the server, such as a proxy's error page.
  }
  const problems = Object.entries(fields).map(([name, texts]) =>
    (name === "non_field_errors" ? texts : [`${name}: ${texts.join(" ")}`]).join(" "),
  );
  message ||= problems.join(" ") || response.statusText || `The server answered ${response.status}.`;
  const retryAfter = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return new ApiError(response.status, message, fields, isRetryDelay(retryAfter) ? retryAfter : undefined);
}
