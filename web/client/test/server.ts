/** A server that follows the protocol in memory, with simulated failures of the network and of itself. */

import type { Action, Entry, Environment, Message, SubscribedFrame, Subscription, User } from "../src/index.js";
import { ChatRecord, type EntryFields, type LogRecord } from "./chatRecord.js";
import type { Clock } from "./clock.js";
import { FakeSocket } from "./fakeSocket.js";

/** The simulated conditions. Probabilities are from 0 to 1, times in milliseconds. */
export interface Weather {
  /** The latency of everything that passes over a socket. */
  latency: number;
  /**
   * The maximum additional random delay, by which frames may overtake each other. Applies to the steps of an HTTP
   * request, too.
   */
  delay: number;
  /** A frame gets lost. The server notices later, and closes the socket. */
  loss: number;
  /** A frame from the server is delivered twice. */
  repeats: number;
  /** A socket fails to open, or an HTTP request fails: the network, or a 503. */
  failures: number;
  /** An action is answered with 429 or 503. */
  busy: number;
  /** The maximum number of entries in a `subscribed` frame. */
  recoverable: number;
}

export const FAIR: Weather = { latency: 10, delay: 0, loss: 0, repeats: 0, failures: 0, busy: 0, recoverable: 1000 };

export class Server {
  weather: Weather = { ...FAIR };
  /** All sockets that clients created. */
  readonly sockets: FakeSocket[] = [];
  /** All HTTP requests, as `GET /path?query`. */
  readonly requests: string[] = [];
  readonly tokens = new Map<string, User>();
  /** The size of a page of members, and of the largest chat with presence and read receipts. */
  memberPageSize = 100;
  maxMembersWithPresence = 100;
  /** Whether it accepts several chats in a `subscribe` frame. */
  knowsSubscriptions = true;
  /** Whether the response to it leaves out read markers and presence, as if they did not fit. */
  leavesOutEphemeralState = false;
  readonly #open = new Set<FakeSocket>();
  readonly #chats = new Map<string, ChatRecord>();
  readonly #clock: Clock;
  readonly #random: () => number;

  constructor(clock: Clock, random: () => number = () => 0) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The environment of a client that uses this clock and this server. */
  environment(random: () => number, window?: EventTarget): Environment {
    const server = this;
    let keys = 0;
    return {
      now: () => this.#clock.now,
      elapsed: () => this.#clock.elapsed,
      after: (milliseconds, run) => this.#clock.after(milliseconds, run),
      random,
      randomUUID: () => `${this.tokens.size}-${this.requests.length}-${this.sockets.length}-${keys++}-${random()}`,
      window,
      fetch: (url, init) => this.#fetch(url, init),
      WebSocket: class extends FakeSocket {
        constructor(url: string, protocols: string[]) {
          super(server, url, protocols);
          server.#accept(this);
        }
      },
    };
  }

  /** The socket that was created last. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("There is no socket.");
    return socket;
  }

  /** Whether a failure of this kind happens now. */
  happens(what: "loss" | "repeats" | "failures" | "busy"): boolean {
    return this.#random() < this.weather[what];
  }

  /** Runs something after the latency. */
  later(run: () => void): void {
    this.#clock.after(this.weather.latency + Math.floor(this.#random() * this.weather.delay), run);
  }

  // Actions of other users.

  register(username: string): { user: User; token: string } {
    const id = this.tokens.size + 1;
    const user = { id, username, email: "", first_name: "", last_name: "" };
    this.tokens.set(`token-of-${username}`, user);
    return { user, token: `token-of-${username}` };
  }

  createChat(uri: string, ...members: readonly User[]): void {
    const [owner] = members;
    if (!owner) throw new Error("A chat has an owner.");
    this.#chats.set(uri, new ChatRecord(uri, owner));
    for (const member of members.slice(1)) this.join(uri, member);
  }

  join(uri: string, user: User): void {
    const chat = this.#chat(uri);
    if (chat.members.has(user.id)) return;
    chat.members.set(user.id, user);
    chat.readMarkers.set(user.id, this.#append(chat, "joined", user).id);
  }

  leave(uri: string, user: User): void {
    const chat = this.#chat(uri);
    if (!chat.members.delete(user.id)) return;
    chat.readMarkers.delete(user.id);
    this.#append(chat, "left", user);
    for (const socket of this.#open) {
      if (socket.user?.id === user.id && socket.uris.delete(uri)) this.#send(socket, { type: "unsubscribed", uri });
    }
  }

  post(uri: string, user: User, message: string, reply_to: number | null = null): number {
    return this.#append(this.#chat(uri), "message", user, { message, reply_to }).id;
  }

  edit(uri: string, user: User, of: number, text: string): void {
    const message = this.#chat(uri).message(of);
    if (!message) return;
    const { create_date } = this.#append(this.#chat(uri), "edited", user, { of });
    Object.assign(message, { message: text, edit_date: create_date });
  }

  delete(uri: string, user: User, of: number): void {
    const message = this.#chat(uri).message(of);
    if (!message) return;
    const { create_date } = this.#append(this.#chat(uri), "deleted", user, { of });
    Object.assign(message, { message: "", edit_date: null, delete_date: create_date });
    message.reactions.clear();
  }

  react(uri: string, user: User, of: number, emoji: string): void {
    const message = this.#chat(uri).message(of);
    if (!message) return;
    const users = message.reactions.get(emoji) ?? new Set();
    if (users.has(user.id)) return;
    message.reactions.set(emoji, users.add(user.id));
    this.#append(this.#chat(uri), "reacted", user, { of, emoji });
  }

  unreact(uri: string, user: User, of: number, emoji: string): void {
    const users = this.#chat(uri).message(of)?.reactions.get(emoji);
    if (users?.delete(user.id)) this.#append(this.#chat(uri), "unreacted", user, { of, emoji });
  }

  publish(uri: string, object: object): void {
    for (const socket of this.#subscribers(uri)) this.#send(socket, { uri, ...object });
  }

  /** Restores a backup: truncates the log to this length. */
  restore(uri: string, length: number): void {
    this.#chat(uri).log = this.#chat(uri).log.slice(0, length);
  }

  /** Closes sockets, by default all. */
  cut(which: (socket: FakeSocket) => boolean = () => true): void {
    for (const socket of [...this.#open].filter(which)) {
      this.drop(socket);
      if (socket.state === "closed" || socket.isDead) continue;
      socket.state = "closed";
      socket.onclose?.call(socket as unknown as WebSocket, {} as CloseEvent);
    }
  }

  // The stored state.

  lastId(uri: string): number {
    return this.#chat(uri).log.length;
  }

  /** All messages, as a user sees them. */
  messages(uri: string, reader: User): Message[] {
    return this.#chat(uri).messages(reader);
  }

  members(uri: string): User[] {
    return [...this.#chat(uri).members.values()];
  }

  readMarkers(uri: string): Map<number, number> {
    return this.#chat(uri).readMarkers;
  }

  online(uri: string): Set<number> {
    return new Set(this.#subscribers(uri).map((socket) => socket.user?.id ?? 0));
  }

  /** The entries after this one, as they are delivered now. */
  entries(uri: string, after = 0): Entry[] {
    const chat = this.#chat(uri);
    return chat.log.slice(after).map((record) => chat.toEntry(record));
  }

  #chat(uri: string): ChatRecord {
    const chat = this.#chats.get(uri);
    if (!chat) throw new Error(`There is no chat ${uri}.`);
    return chat;
  }

  #append(chat: ChatRecord, type: Entry["type"], user: User, fields: EntryFields = {}): LogRecord {
    const record = chat.append(type, user, new Date(this.#clock.now).toISOString(), fields);
    // Subscribers and the entry's content are looked up on delivery.
    this.later(() => {
      for (const socket of this.#subscribers(chat.uri)) this.#send(socket, chat.toEntry(record));
    });
    return record;
  }

  // WebSocket API.

  #subscribers(uri: string): FakeSocket[] {
    return [...this.#open].filter((socket) => socket.uris.has(uri));
  }

  #accept(socket: FakeSocket): void {
    this.sockets.push(socket);
    this.later(() => {
      if (socket.state !== "opening") return;
      const token = socket.protocols.find((protocol) => protocol.startsWith("token."))?.slice("token.".length) ?? "";
      socket.user = this.tokens.get(token);
      if (!socket.user || this.happens("failures")) {
        socket.state = "closed";
        socket.onerror?.call(socket as unknown as WebSocket, {} as Event);
        socket.onclose?.call(socket as unknown as WebSocket, {} as CloseEvent);
        return;
      }
      socket.state = "open";
      this.#open.add(socket);
      socket.onopen?.call(socket as unknown as WebSocket, {} as Event);
    });
  }

  drop(socket: FakeSocket): void {
    if (!this.#open.delete(socket)) return;
    const uris = [...socket.uris];
    socket.uris.clear();
    for (const uri of uris) this.#publishPresence(uri, socket, "offline");
  }

  #publishPresence(uri: string, socket: FakeSocket, type: "online" | "offline"): void {
    // With a delay of five seconds, so that a user who reconnects at once does not go offline.
    this.#clock.after(5000, () => {
      const { user } = socket;
      if (user && this.online(uri).has(user.id) === (type === "online")) this.publish(uri, { type, user });
    });
  }

  /** All markers of a chat that move within five seconds are published together. */
  #publishReadMarker(chat: ChatRecord, user: User): void {
    const { uri, readMarkers } = chat;
    if (chat.movedReadMarkers.size === 0) {
      this.#clock.after(5000, () => {
        const moved = [...chat.movedReadMarkers].filter((id) => readMarkers.has(id));
        chat.movedReadMarkers.clear();
        if (moved.length > 0) {
          this.publish(uri, { type: "read", read: Object.fromEntries(moved.map((id) => [id, readMarkers.get(id)])) });
        }
      });
    }
    chat.movedReadMarkers.add(user.id);
  }

  #send(socket: FakeSocket, frame: object): void {
    if (this.happens("loss")) {
      socket.isDamaged = true;
      return;
    }
    this.later(() => socket.receive(frame));
    if (this.happens("repeats")) this.later(() => socket.receive(frame));
  }

  /** Performs an action, and sends the response. */
  onAction(socket: FakeSocket, action: Action): void {
    if (!this.#open.has(socket) || !socket.user) return;
    const response = this.#perform(socket, socket.user, action);
    if (!response) return;
    const { key } = action as { key?: string };
    this.#send(socket, { ...("uri" in action && { uri: action.uri }), ...(key !== undefined && { key }), ...response });
  }

  #perform(socket: FakeSocket, user: User, action: Action): object | undefined {
    if (action.action === "ping") return { type: "pong" };
    if (action.action === "subscribe" && "chats" in action)
      return this.#performSubscriptions(socket, user, action.chats);
    const { uri } = action;
    const chat = this.#chats.get(uri);
    const error = (status: number, detail: string, retry?: { retry_after: number }) =>
      errorFrame(action, status, detail, retry);
    if (action.action === "unsubscribe") {
      if (socket.uris.delete(uri)) this.#publishPresence(uri, socket, "offline");
      return { type: "unsubscribed" };
    }
    if (![...this.tokens.values()].includes(user)) return error(401, "Invalid token.");
    if (this.happens("busy")) return error(503, "Try again in a moment.", { retry_after: 1 });
    if (action.action === "send" && this.happens("busy")) {
      return error(429, "Request was throttled.", { retry_after: 7 });
    }
    if (!chat) return error(404, "Not found.");
    if (!chat.members.has(user.id)) return error(403, "You are not a member of this chat.");
    switch (action.action) {
      case "subscribe":
        socket.uris.add(uri);
        this.#publishPresence(uri, socket, "online");
        // The subscription is registered before the log is read.
        this.later(() => this.#send(socket, this.#subscribed(chat, action.after)));
        return undefined;
      case "typing":
        for (const other of this.#subscribers(uri)) {
          if (other.user?.id !== user.id) this.#send(other, { type: "typing", uri, user });
        }
        return undefined;
      case "read": {
        const before = chat.readMarkers.get(user.id) ?? 0;
        const marker = Math.max(before, Math.min(action.id, chat.log.length));
        chat.readMarkers.set(user.id, marker);
        const isPublished = marker > before && chat.members.size <= this.maxMembersWithPresence;
        if (isPublished) this.#publishReadMarker(chat, user);
        // If the event reaches the caller, it is the response.
        return isPublished && socket.uris.has(uri) ? undefined : { type: "read", read: { [user.id]: marker } };
      }
      case "send":
        return this.#performSend(chat, user, action);
    }
  }

  #performSubscriptions(socket: FakeSocket, user: User, subscriptions: readonly Subscription[]): object | undefined {
    const error = (status: number, detail: string, uri?: string, retry?: { retry_after: number }) => ({
      ...errorFrame({ action: "subscribe", chats: [] }, status, detail, retry),
      ...(uri !== undefined && { uri }),
    });
    if (!this.knowsSubscriptions) return error(400, "uri: This field is required.");
    if (![...this.tokens.values()].includes(user)) return error(401, "Invalid token.");
    if (this.happens("busy")) return error(503, "Try again in a moment.", undefined, { retry_after: 1 });
    const allowed = (uri: string) => this.#chats.get(uri)?.members.has(user.id) ?? false;
    for (const { uri } of subscriptions.filter(({ uri }) => allowed(uri))) {
      socket.uris.add(uri);
      this.#publishPresence(uri, socket, "online");
    }
    this.later(() => {
      let left = this.weather.recoverable;
      const chats = subscriptions.map(({ uri, after }) => {
        const chat = this.#chats.get(uri);
        if (!chat) return error(404, "Not found.", uri);
        if (!allowed(uri)) return error(403, "You are not a member of this chat.", uri);
        const frame = this.#subscribed(chat, after, left);
        left -= frame.entries.length;
        const { read, online, ...withoutState } = frame;
        return this.leavesOutEphemeralState ? withoutState : frame;
      });
      this.#send(socket, { type: "subscriptions", chats });
    });
    return undefined;
  }

  #performSend(chat: ChatRecord, user: User, action: Extract<Action, { action: "send" }>): object {
    const { message, reply_to = null } = action;
    const idempotencyKey = `${user.id} ${action.key}`;
    const known = chat.keys.get(idempotencyKey);
    if (message.includes("\0")) return errorFrame(action, 400, "message: Null characters are not allowed.");
    if (reply_to !== null && !chat.message(reply_to) && !known) {
      return errorFrame(action, 400, "reply_to: There is no such message in this chat.");
    }
    const record = known ?? this.#append(chat, "message", user, { message, reply_to });
    chat.keys.set(idempotencyKey, record);
    return { type: "sent", id: record.id, create_date: record.create_date };
  }

  #subscribed(chat: ChatRecord, after: number, recoverable = this.weather.recoverable): SubscribedFrame {
    const { uri } = chat;
    const last_id = chat.log.length;
    const recovered = after <= last_id && last_id - after <= recoverable;
    const entries = recovered ? this.entries(uri, after) : [];
    return { type: "subscribed", uri, last_id, recovered, entries, ...this.#ephemeralState(chat) };
  }

  // HTTP API.

  async #fetch(address: string, init: RequestInit): Promise<Response> {
    const url = new URL(address);
    this.requests.push(`${init.method} ${url.pathname}${url.search}`);
    await this.#pause();
    init.signal?.throwIfAborted();
    if (this.happens("failures")) throw new TypeError("fetch failed");
    if (this.happens("failures")) {
      return Response.json({ detail: "Try again in a moment." }, { status: 503, headers: { "Retry-After": "1" } });
    }
    const token = new Headers(init.headers).get("Authorization")?.replace("Token ", "") ?? "";
    const user = this.tokens.get(token);
    if (!user) return Response.json({ detail: "Invalid token." }, { status: 401 });
    if (url.pathname === "/auth/me") return Response.json(user);
    const [, uri = "", resource] = /^\/api\/chats\/([^/]+)(?:\/(messages|members))?\/?$/.exec(url.pathname) ?? [];
    const chat = this.#chats.get(uri);
    if (!chat) return Response.json({ detail: "Not found." }, { status: 404 });
    if (!chat.members.has(user.id)) {
      return Response.json({ detail: "You are not a member of this chat." }, { status: 403 });
    }
    // A response is not a snapshot: the log may grow between the two reads.
    const last_id = chat.log.length;
    await this.#pause();
    const body = resource === "messages" ? this.#history(chat, url.searchParams, user) : this.#detail(chat);
    await this.#pause();
    init.signal?.throwIfAborted();
    if (resource === "members") {
      return Response.json(chat.memberPage(Number(url.searchParams.get("cursor")), this.memberPageSize));
    }
    return Response.json({ id: 1, uri, last_id, ...body });
  }

  async #pause(): Promise<void> {
    if (this.weather.delay > 0) await new Promise<void>((resolve) => this.later(resolve));
  }

  #detail(chat: ChatRecord): object {
    const { members, next } = chat.memberPage(0, this.memberPageSize);
    const page = next === null ? {} : { member_count: chat.members.size, members_next: next };
    return { owner: chat.owner, members, ...page, ...this.#ephemeralState(chat) };
  }

  #ephemeralState({ uri, members, readMarkers }: ChatRecord): object {
    if (members.size > this.maxMembersWithPresence) return { read: null, online: null };
    return { read: Object.fromEntries(readMarkers), online: [...this.online(uri)] };
  }

  #history(chat: ChatRecord, query: URLSearchParams, reader: User): object {
    // Page URLs are sometimes relative, sometimes absolute with an internal host.
    const origin = this.requests.length % 2 === 0 ? "" : "http://inside:3000";
    return chat.historyPage(query, reader, origin);
  }
}

function errorFrame({ action }: Action, status: number, detail: string, retry?: { retry_after: number }): object {
  return { type: "error", action, status, detail, ...retry };
}
