/** The HTTP API: a method for each thing that can be asked. */

import { Emitter } from "./emitter.js";
import { type Environment, environment } from "./environment.js";
import { encoded, toJson } from "./text.js";
import type { Message, Standing, User } from "./wire.js";

/** A request is given up after so many milliseconds; the server gives up before that. */
const PATIENCE = 30_000;

/** A chat, as shown to its members. */
export interface Chat extends Standing {
  readonly id: number;
  readonly uri: string;
  readonly owner: User | null;
  /** The owner first, then the others in the order of joining. In large chats, only the first page. */
  readonly members: readonly User[];
  /** The number of members. May be absent if `members` has all of them. */
  readonly member_count?: number;
  /** The URL of the next page of members, or null after the last page. */
  readonly members_next?: string | null;
  readonly last_id: number;
  readonly create_date: string;
  readonly update_date: string;
}

/** A chat in the list of one's chats. */
export interface ChatSummary {
  readonly id: number;
  readonly uri: string;
  readonly owner: User;
  readonly member_count: number;
  readonly last_id: number;
  readonly last_message: Message | null;
  readonly read_id: number;
  /** How many messages of others there are behind `read_id`, up to 99; `unread_more` if there are more. */
  readonly unread: number;
  readonly unread_more: boolean;
  readonly create_date: string;
  readonly update_date: string;
}

/** One's chats, newest activity first; `next` is the address of the next page. */
export interface Chats {
  readonly chats: readonly ChatSummary[];
  readonly next: string | null;
}

/** A page of a chat's members; `next` is the URL of the next page. */
export interface Members {
  readonly members: readonly User[];
  readonly next: string | null;
}

/** A page of a chat's history, oldest first; `next` and `previous` are the addresses of the pages around it. */
export interface History {
  readonly id: number;
  readonly uri: string;
  readonly last_id: number;
  readonly messages: readonly Message[];
  readonly next: string | null;
  readonly previous: string | null;
}

/** A page of what was found, newest first. It may be empty and still have a `next`, for the log is searched a part at a time. */
export interface Found {
  readonly messages: readonly Message[];
  readonly next: string | null;
}

/** Who is in a chat after somebody came in. */
export interface Joined {
  /** May be absent in chats of more than 100 members. */
  readonly members?: readonly User[];
  readonly message: string;
  readonly user: User;
  readonly users: readonly User[];
}

/** A message that was posted. */
export interface Posted {
  readonly uri: string;
  readonly id: number;
  readonly message: string;
  readonly reply_to?: number | null;
  readonly user: User;
  readonly create_date: string;
}

/** One's own profile, as far as one can change it. */
export type Profile = Partial<Pick<User, "email" | "first_name" | "last_name">>;

/** The answer to a request that could not be done; `message` is for people to read. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    /** The HTTP status. */
    readonly status: number,
    message: string,
    /** What is wrong with each field; `non_field_errors` is what is wrong with the whole. */
    readonly fields: Readonly<Record<string, readonly string[]>> = {},
    /** In so many seconds the same request will do, where the server says so. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** There was no answer, or one that is not the server's, such as the page of a hotel's network that asks one to log in. */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";
}

/** Whether something failed for good: asking again will not help. */
export function isFinal(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

/** Whether this is a valid waiting time in seconds. */
export function isWait(seconds: unknown): boolean {
  return typeof seconds === "number" && Number.isFinite(seconds) && seconds >= 0;
}

type Query = Readonly<Record<string, string | number | undefined>>;

interface Request {
  readonly query?: Query | string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** How an {@link Api} is reached. */
export interface ApiOptions {
  /** Where the HTTP API is, such as `https://chat.example.com`. */
  readonly url: string;
  /** The token of an earlier {@link Api.logIn}. */
  readonly token?: string;
  readonly environment?: Partial<Environment>;
}

/**
 * The HTTP API. All methods throw {@link ApiError} for what the server refuses, a `TimeoutError` after 30 seconds, the reason of a
 * `signal` that is aborted, and {@link UnreachableError} for any other answer that does not come. The event `unauthorized` tells that the token is no good any more.
 */
export class Api extends Emitter<{ unauthorized: ApiError }> {
  /** The token, once one has logged in. */
  token: string | undefined;
  readonly #url: string;
  readonly #environment: Environment;

  constructor(options: ApiOptions) {
    super();
    this.#url = options.url.replace(/\/$/, "");
    this.token = options.token;
    this.#environment = environment(options.environment);
  }

  /** Registers a user, who can then log in. */
  register(
    account: { username: string; password: string } & Profile,
    signal?: AbortSignal,
  ): Promise<Pick<User, "id" | "username" | "email">> {
    return this.#request("POST", "/auth/users/create/", { body: account, signal }, false);
  }

  /** Logs in. The token that is returned is used from now on. */
  async logIn(username: string, password: string, signal?: AbortSignal): Promise<string> {
    const request = { body: { username, password }, signal };
    const answer = await this.#request<{ auth_token: string }>("POST", "/auth/token/create/", request, false);
    this.token = answer.auth_token;
    return answer.auth_token;
  }

  /** Logs out: the token dies, and its sockets are closed. */
  async logOut(signal?: AbortSignal): Promise<void> {
    await this.#request("POST", "/auth/token/destroy/", { signal });
    this.token = undefined;
  }

  /** One's profile. */
  me(signal?: AbortSignal): Promise<User> {
    return this.#request("GET", "/auth/me/", { signal });
  }

  /** Changes one's profile; what is left out stays. */
  changeMe(profile: Profile, signal?: AbortSignal): Promise<User> {
    return this.#request("PATCH", "/auth/me/", { body: profile, signal });
  }

  /** Changes one's password; every other token dies. */
  setPassword(current: string, wanted: string, signal?: AbortSignal): Promise<void> {
    const body = { current_password: current, new_password: wanted };
    return this.#request("POST", "/auth/password/", { body, signal });
  }

  /** One's chats: the first `limit` (20, at most 100), or the page whose address is given. */
  chats(page: { limit?: number } | string = {}, signal?: AbortSignal): Promise<Chats> {
    return this.#request("GET", "/api/chats/", { query: page, signal });
  }

  /** Starts a chat, and gives its uri, which is the invitation to it. */
  async start(signal?: AbortSignal): Promise<string> {
    return (await this.#request<{ uri: string }>("POST", "/api/chats/", { signal })).uri;
  }

  /** Shows a chat. */
  show(uri: string, signal?: AbortSignal): Promise<Chat> {
    return this.#request("GET", chat(uri), { signal });
  }

  /** The page of a chat's members at this URL, such as {@link Chat.members_next}. */
  members(uri: string, page: string, signal?: AbortSignal): Promise<Members> {
    return this.#request("GET", `${chat(uri)}members/`, { query: page, signal });
  }

  /** Joins a chat by one's own username, or invites others (at most 24, all of them or none). */
  join(uri: string, usernames: string | readonly string[], signal?: AbortSignal): Promise<Joined> {
    const body = typeof usernames === "string" ? { username: usernames } : { usernames };
    return this.#request("PATCH", chat(uri), { body, signal });
  }

  /** Makes another member the owner. For the owner. */
  handOver(uri: string, username: string, signal?: AbortSignal): Promise<Joined> {
    return this.#request("PATCH", chat(uri), { body: { owner: username }, signal });
  }

  /** Leaves a chat, or removes another member from it (the owner can). */
  remove(uri: string, username: string, signal?: AbortSignal): Promise<void> {
    return this.#request("DELETE", `${chat(uri)}members/${encoded(username)}/`, { signal });
  }

  /** A page of the history: the last `limit` (1,000 at most), those before or after an id, or the page whose address is given. */
  history(
    uri: string,
    page: { before?: number; after?: number; limit?: number } | string = {},
    signal?: AbortSignal,
  ): Promise<History> {
    return this.#request("GET", `${chat(uri)}messages/`, { query: page, signal });
  }

  /** Posts a message. With a `key` it can be repeated for a day without being posted twice; an outbox does all of that by itself. */
  post(
    uri: string,
    message: string,
    options: { key?: string; replyTo?: number } = {},
    signal?: AbortSignal,
  ): Promise<Posted> {
    const headers: Record<string, string> = options.key === undefined ? {} : { "Idempotency-Key": options.key };
    const body = { message, ...(options.replyTo !== undefined && { reply_to: options.replyTo }) };
    return this.#request("POST", `${chat(uri)}messages/`, { body, headers, signal });
  }

  /** Has a message of one's own say something else. */
  edit(uri: string, id: number, message: string, signal?: AbortSignal): Promise<Message> {
    return this.#request("PATCH", `${chat(uri)}messages/${id}/`, { body: { message }, signal });
  }

  /** Deletes a message: one's own or, as the chat's owner, any. */
  delete(uri: string, id: number, signal?: AbortSignal): Promise<void> {
    return this.#request("DELETE", `${chat(uri)}messages/${id}/`, { signal });
  }

  /** Puts an emoji to a message. */
  react(uri: string, id: number, emoji: string, signal?: AbortSignal): Promise<Message> {
    return this.#request("PUT", reaction(uri, id, emoji), { signal });
  }

  /** Takes an emoji back from a message. */
  unreact(uri: string, id: number, emoji: string, signal?: AbortSignal): Promise<void> {
    return this.#request("DELETE", reaction(uri, id, emoji), { signal });
  }

  /** Searches a chat for messages that have all of these words, or gives the page whose address is given. */
  search(
    uri: string,
    page: { q: string; before?: number; limit?: number } | string,
    signal?: AbortSignal,
  ): Promise<Found> {
    return this.#request("GET", `${chat(uri)}search/`, { query: page, signal });
  }

  /** Moves one's read marker forward to an entry, and tells where it is now. */
  markRead(uri: string, id: number, signal?: AbortSignal): Promise<{ read_id: number }> {
    return this.#request("PUT", `${chat(uri)}read/`, { body: { id }, signal });
  }

  async #request<Answer>(method: string, path: string, request: Request, authorized = true): Promise<Answer> {
    const token = authorized ? this.token : undefined;
    const headers: Record<string, string> = { ...request.headers };
    if (token !== undefined) headers.Authorization = `Token ${token}`;
    if (request.body) headers["Content-Type"] = "application/json";
    const controller = new AbortController();
    const abort = () => controller.abort(request.signal?.reason);
    request.signal?.addEventListener("abort", abort);
    if (request.signal?.aborted) abort();
    const cancel = this.#environment.after(PATIENCE, () =>
      controller.abort(new DOMException("The server did not answer in time.", "TimeoutError")),
    );
    try {
      const init: RequestInit = { method, headers, signal: controller.signal, cache: "no-store" };
      if (request.body) init.body = toJson(request.body);
      const { response, text } = await this.#fetch(this.#url + path + search(request.query), init);
      if (response.ok) return answer<Answer>(text);
      const error = refusal(response, text);
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

function answer<Answer>(text: string): Answer {
  try {
    return (text === "" ? undefined : JSON.parse(text)) as Answer;
  } catch (cause) {
    throw new UnreachableError("The answer cannot be read.", { cause });
  }
}

function chat(uri: string): string {
  return `/api/chats/${encoded(uri)}/`;
}

function reaction(uri: string, id: number, emoji: string): string {
  return `${chat(uri)}messages/${id}/reactions/${encoded(emoji)}/`;
}

/** Of the address of another page only the query counts: the host may be another one from where the server stands. */
function search(query: Query | string = {}): string {
  if (typeof query === "string") return new URL(query, "http://localhost").search;
  const pairs = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
}

/** Errors are `{"detail": "…"}`, `{"field": ["…"]}` or `["…"]`, and the gateway's own `{"message": "…"}`. */
function refusal(response: Response, text: string): ApiError {
  const fields: Record<string, readonly string[]> = {};
  let message = "";
  try {
    const body: unknown = JSON.parse(text);
    for (const [name, value] of Object.entries(Array.isArray(body) ? { non_field_errors: body } : Object(body))) {
      if (Array.isArray(value)) fields[name] = value.map(String);
      else if (name === "detail" || name === "message") message ||= String(value);
    }
  } catch {
    // Not ours, such as a proxy's page: its status has to do.
  }
  const problems = Object.entries(fields).map(([name, texts]) =>
    (name === "non_field_errors" ? texts : [`${name}: ${texts.join(" ")}`]).join(" "),
  );
  message ||= problems.join(" ") || response.statusText || `The server answered ${response.status}.`;
  const retryAfter = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return new ApiError(response.status, message, fields, isWait(retryAfter) ? retryAfter : undefined);
}
