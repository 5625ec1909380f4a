/** A server that obeys the protocol, keeps logs, and treats what passes between it and its clients as badly as it is told to. */

import type { Action, Entry, Environment, Message, Socket, User } from "../src/index.js";
import type { Clock } from "./clock.js";

/** How bad it is. Probabilities are from 0 to 1, times in milliseconds. */
export interface Weather {
  /** What passes over a socket takes so long. */
  latency: number;
  /** It takes up to so long in addition; what takes longer is overtaken. So do the parts of a request over HTTP. */
  delay: number;
  /** An object over a socket gets lost. The server notices in the end, and closes the socket. */
  loss: number;
  /** An object from the server comes twice. */
  repeats: number;
  /** A socket is not opened, or a request over HTTP fails: the network, or a 503. */
  failures: number;
  /** A request over a socket is answered with 429 or 503 instead of being done. */
  busy: number;
  /** So many entries fit a `subscribed`. */
  recoverable: number;
}

export const FAIR: Weather = { latency: 10, delay: 0, loss: 0, repeats: 0, failures: 0, busy: 0, recoverable: 1000 };

/** Larger frames than this close the socket. */
const FRAME_BYTES = 32 * 1024;
/** A lone surrogate in JSON, which the server cannot parse. */
const HALF_A_PAIR = /\\ud[89a-f]/;
const UNREADABLE = { type: "error", action: null, status: 400, detail: "A frame must be a JSON object." };

interface Stored {
  readonly id: number;
  readonly type: Entry["type"];
  readonly user: User;
  readonly create_date: string;
  readonly of?: number;
  readonly emoji?: string;
  readonly reply_to?: number | null;
  message?: string;
  edit_date?: string | null;
  delete_date?: string | null;
  readonly reactions: Map<string, Set<number>>;
}

interface Chat {
  readonly uri: string;
  readonly owner: User;
  log: Stored[];
  readonly members: Map<number, User>;
  readonly read: Map<number, number>;
  readonly keys: Map<string, Stored>;
}

/** The client's end of a socket, and what the server knows of it. */
export class FakeSocket implements Socket {
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  /** What the client has said. */
  readonly said: Action[] = [];
  readonly uris = new Set<string>();
  user: User | undefined;
  state: "opening" | "open" | "closed" = "opening";
  /** The server could not write something to it. */
  isDamaged = false;
  /** Neither end hears of the other any more, and nobody has noticed. */
  isDead = false;

  constructor(
    readonly server: Server,
    readonly url: string,
    readonly protocols: readonly string[],
  ) {}

  send(text: string): void {
    if (this.state !== "open") throw new Error("This socket is not open.");
    const action = JSON.parse(text) as Action;
    this.said.push(action);
    if (this.isDead || this.server.strikes("loss")) return;
    if (new TextEncoder().encode(text).length > FRAME_BYTES)
      this.server.later(() => this.server.cut((one) => one === this));
    else if (HALF_A_PAIR.test(text)) this.server.later(() => this.receive(UNREADABLE));
    else this.server.later(() => this.server.hear(this, action));
  }

  close(): void {
    this.state = "closed";
    if (!this.isDead) this.server.later(() => this.server.drop(this));
  }

  /** What the client gets. */
  receive(...objects: readonly object[]): void {
    if (this.state !== "open" || this.isDead) return;
    const data = objects.map((object) => JSON.stringify(object)).join("\n");
    this.onmessage?.call(this as unknown as WebSocket, { data } as MessageEvent);
  }

  /** The actions of one kind that it has said. */
  saidOf<Kind extends Action["action"]>(kind: Kind): Extract<Action, { action: Kind }>[] {
    return this.said.filter((action): action is Extract<Action, { action: Kind }> => action.action === kind);
  }
}

export class Server {
  weather: Weather = { ...FAIR };
  /** All sockets that were ever asked for. */
  readonly sockets: FakeSocket[] = [];
  /** All requests over HTTP, as `GET /path?query`. */
  readonly requests: string[] = [];
  readonly tokens = new Map<string, User>();
  /** The size of a page of members, and the largest chat with presence and read receipts. */
  membersShown = 100;
  membersTold = 100;
  readonly #open = new Set<FakeSocket>();
  readonly #chats = new Map<string, Chat>();
  readonly #clock: Clock;
  readonly #random: () => number;

  constructor(clock: Clock, random: () => number = () => 0) {
    this.#clock = clock;
    this.#random = random;
  }

  /** What a client needs to live in this world. */
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

  /** The last socket that was asked for. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("No socket was asked for.");
    return socket;
  }

  strikes(what: "loss" | "repeats" | "failures" | "busy"): boolean {
    return this.#random() < this.weather[what];
  }

  /** Does something when it has arrived. */
  later(run: () => void): void {
    this.#clock.after(this.weather.latency + Math.floor(this.#random() * this.weather.delay), run);
  }

  // What others do.

  register(username: string): { user: User; token: string } {
    const id = this.tokens.size + 1;
    const user = { id, username, email: "", first_name: "", last_name: "" };
    this.tokens.set(`token-of-${username}`, user);
    return { user, token: `token-of-${username}` };
  }

  start(uri: string, ...members: readonly User[]): void {
    const [owner] = members;
    if (!owner) throw new Error("A chat has an owner.");
    this.#chats.set(uri, { uri, owner, log: [], members: new Map(), read: new Map(), keys: new Map() });
    this.#chat(uri).members.set(owner.id, owner);
    this.#chat(uri).read.set(owner.id, 0);
    for (const member of members.slice(1)) this.join(uri, member);
  }

  join(uri: string, user: User): void {
    const chat = this.#chat(uri);
    if (chat.members.has(user.id)) return;
    chat.members.set(user.id, user);
    chat.read.set(user.id, 0);
    this.#append(chat, "joined", user);
  }

  leave(uri: string, user: User): void {
    const chat = this.#chat(uri);
    if (!chat.members.delete(user.id)) return;
    chat.read.delete(user.id);
    this.#append(chat, "left", user);
    for (const socket of this.#open) {
      if (socket.user?.id === user.id && socket.uris.delete(uri)) this.#tell(socket, { type: "unsubscribed", uri });
    }
  }

  post(uri: string, user: User, message: string, reply_to: number | null = null): number {
    return this.#append(this.#chat(uri), "message", user, { message, reply_to }).id;
  }

  edit(uri: string, user: User, of: number, message: string): void {
    const said = this.#message(uri, of);
    if (!said) return;
    const { create_date } = this.#append(this.#chat(uri), "edited", user, { of });
    Object.assign(said, { message, edit_date: create_date });
  }

  delete(uri: string, user: User, of: number): void {
    const said = this.#message(uri, of);
    if (!said) return;
    const { create_date } = this.#append(this.#chat(uri), "deleted", user, { of });
    Object.assign(said, { message: "", edit_date: null, delete_date: create_date });
    said.reactions.clear();
  }

  react(uri: string, user: User, of: number, emoji: string): void {
    const said = this.#message(uri, of);
    if (!said) return;
    const users = said.reactions.get(emoji) ?? new Set();
    if (users.has(user.id)) return;
    said.reactions.set(emoji, users.add(user.id));
    this.#append(this.#chat(uri), "reacted", user, { of, emoji });
  }

  unreact(uri: string, user: User, of: number, emoji: string): void {
    const users = this.#message(uri, of)?.reactions.get(emoji);
    if (users?.delete(user.id)) this.#append(this.#chat(uri), "unreacted", user, { of, emoji });
  }

  publish(uri: string, object: object): void {
    for (const socket of this.#listening(uri)) this.#tell(socket, { uri, ...object });
  }

  /** Goes back to a backup: only so many entries of the log are left. */
  restore(uri: string, length: number): void {
    this.#chat(uri).log = this.#chat(uri).log.slice(0, length);
  }

  /** Ends sockets, all by default, without a word to the client before. */
  cut(which: (socket: FakeSocket) => boolean = () => true): void {
    for (const socket of [...this.#open].filter(which)) {
      this.drop(socket);
      if (socket.state === "closed" || socket.isDead) continue;
      socket.state = "closed";
      socket.onclose?.call(socket as unknown as WebSocket, {} as CloseEvent);
    }
  }

  // How things are.

  lastId(uri: string): number {
    return this.#chat(uri).log.length;
  }

  /** All messages, as a user sees them. */
  messages(uri: string, reader: User): Message[] {
    return this.#chat(uri)
      .log.filter((entry) => entry.type === "message")
      .map((entry) => shown(entry, reader));
  }

  members(uri: string): User[] {
    return [...this.#chat(uri).members.values()];
  }

  read(uri: string): Map<number, number> {
    return this.#chat(uri).read;
  }

  online(uri: string): Set<number> {
    return new Set(this.#listening(uri).map((socket) => socket.user?.id ?? 0));
  }

  /** The log from behind an entry, as it is told now. */
  entries(uri: string, after = 0): Entry[] {
    const chat = this.#chat(uri);
    return chat.log.slice(after).map((entry) => told(chat, entry));
  }

  // The log.

  #chat(uri: string): Chat {
    const chat = this.#chats.get(uri);
    if (!chat) throw new Error(`There is no chat ${uri}.`);
    return chat;
  }

  #message(uri: string, id: number): Stored | undefined {
    const entry = this.#chat(uri).log[id - 1];
    return entry?.type === "message" && !entry.delete_date ? entry : undefined;
  }

  #append(
    chat: Chat,
    type: Entry["type"],
    user: User,
    more: Partial<Pick<Stored, "of" | "emoji" | "message" | "reply_to">> = {},
  ): Stored {
    const create_date = new Date(this.#clock.now).toISOString();
    const entry: Stored = { id: chat.log.length + 1, type, user, create_date, reactions: new Map(), ...more };
    chat.log.push(entry);
    // To whom is looked up when it is told, and so is what.
    this.later(() => {
      for (const socket of this.#listening(chat.uri)) this.#tell(socket, told(chat, entry));
    });
    return entry;
  }

  // Sockets.

  #listening(uri: string): FakeSocket[] {
    return [...this.#open].filter((socket) => socket.uris.has(uri));
  }

  #accept(socket: FakeSocket): void {
    this.sockets.push(socket);
    this.later(() => {
      if (socket.state !== "opening") return;
      const token = socket.protocols.find((protocol) => protocol.startsWith("token."))?.slice("token.".length) ?? "";
      socket.user = this.tokens.get(token);
      if (!socket.user || this.strikes("failures")) {
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
    for (const uri of uris) this.#tellPresence(uri, socket, "offline");
  }

  #tellPresence(uri: string, socket: FakeSocket, type: "online" | "offline"): void {
    // Up to five seconds late, so that who is back at once was never away.
    this.#clock.after(5000, () => {
      const { user } = socket;
      if (user && this.online(uri).has(user.id) === (type === "online")) this.publish(uri, { type, user });
    });
  }

  #tell(socket: FakeSocket, object: object): void {
    if (this.strikes("loss")) {
      socket.isDamaged = true;
      return;
    }
    this.later(() => socket.receive(object));
    if (this.strikes("repeats")) this.later(() => socket.receive(object));
  }

  /** Does what a client said, and answers it. */
  hear(socket: FakeSocket, said: Action): void {
    if (!this.#open.has(socket) || !socket.user) return;
    const answer = this.#answer(socket, socket.user, said);
    if (!answer) return;
    const { key } = said as { key?: string };
    this.#tell(socket, { ...("uri" in said && { uri: said.uri }), ...(key !== undefined && { key }), ...answer });
  }

  #answer(socket: FakeSocket, user: User, said: Action): object | undefined {
    const { action } = said;
    if (action === "ping") return { type: "pong" };
    const { uri } = said;
    const chat = this.#chats.get(uri);
    const refusal = (status: number, detail: string, more?: object) => ({
      type: "error",
      action,
      status,
      detail,
      ...more,
    });
    if (action === "unsubscribe") {
      if (socket.uris.delete(uri)) this.#tellPresence(uri, socket, "offline");
      return { type: "unsubscribed" };
    }
    if (![...this.tokens.values()].includes(user)) return refusal(401, "Invalid token.");
    if (this.strikes("busy")) return refusal(503, "Try again in a moment.", { retry_after: 1 });
    if (action === "send" && this.strikes("busy")) return refusal(429, "Request was throttled.", { retry_after: 7 });
    if (!chat) return refusal(404, "Not found.");
    if (!chat.members.has(user.id)) return refusal(403, "You are not a member of this chat.");
    switch (action) {
      case "subscribe":
        socket.uris.add(uri);
        this.#tellPresence(uri, socket, "online");
        // The log is read after that.
        this.later(() => this.#tell(socket, this.#subscribed(chat, said.after)));
        return undefined;
      case "typing":
        for (const other of this.#listening(uri)) {
          if (other.user?.id !== user.id) this.#tell(other, { type: "typing", uri, user });
        }
        return undefined;
      case "read": {
        const read_id = Math.max(chat.read.get(user.id) ?? 0, Math.min(said.id, chat.log.length));
        chat.read.set(user.id, read_id);
        this.publish(uri, { type: "read", user, read_id });
        return undefined;
      }
      case "send": {
        if (said.message.includes("\0")) return refusal(400, "message: Null characters are not allowed.");
        if (
          said.reply_to !== undefined &&
          !this.#message(uri, said.reply_to) &&
          !chat.keys.has(`${user.id} ${said.key}`)
        ) {
          return refusal(400, "reply_to: There is no such message in this chat.");
        }
        const known = chat.keys.get(`${user.id} ${said.key}`);
        const { message, reply_to = null } = said;
        const entry = known ?? this.#append(chat, "message", user, { message, reply_to });
        chat.keys.set(`${user.id} ${said.key}`, entry);
        return { type: "sent", id: entry.id, create_date: entry.create_date };
      }
    }
  }

  #subscribed(chat: Chat, after: number): object {
    const { uri } = chat;
    const last_id = chat.log.length;
    const recovered = after <= last_id && last_id - after <= this.weather.recoverable;
    const entries = recovered ? this.entries(uri, after) : [];
    return { type: "subscribed", uri, last_id, recovered, entries, ...this.#standing(chat) };
  }

  // HTTP.

  async #fetch(address: string, init: RequestInit): Promise<Response> {
    const url = new URL(address);
    this.requests.push(`${init.method} ${url.pathname}${url.search}`);
    await this.#pause();
    init.signal?.throwIfAborted();
    if (this.strikes("failures")) throw new TypeError("fetch failed");
    if (this.strikes("failures")) {
      return Response.json({ detail: "Try again in a moment." }, { status: 503, headers: { "Retry-After": "1" } });
    }
    const token = new Headers(init.headers).get("Authorization")?.replace("Token ", "") ?? "";
    const user = this.tokens.get(token);
    if (!user) return Response.json({ detail: "Invalid token." }, { status: 401 });
    if (url.pathname === "/auth/me/") return Response.json(user);
    const [, uri = "", messages] = /^\/api\/chats\/([^/]+)\/(messages\/|members\/)?$/.exec(url.pathname) ?? [];
    const chat = this.#chats.get(uri);
    if (!chat) return Response.json({ detail: "Not found." }, { status: 404 });
    if (!chat.members.has(user.id)) {
      return Response.json({ detail: "You are not a member of this chat." }, { status: 403 });
    }
    // What is answered is not of one moment: the log may grow between the one reading and the other.
    const last_id = chat.log.length;
    await this.#pause();
    const answer = messages === "messages/" ? this.#history(chat, url.searchParams, user) : this.#shown(chat);
    await this.#pause();
    init.signal?.throwIfAborted();
    if (messages === "members/") return Response.json(this.#membersPage(chat, Number(url.searchParams.get("cursor"))));
    return Response.json({ id: 1, uri, last_id, ...answer });
  }

  async #pause(): Promise<void> {
    if (this.weather.delay > 0) await new Promise<void>((resolve) => this.later(resolve));
  }

  #shown(chat: Chat): object {
    const { members, next } = this.#membersPage(chat, 0);
    const counted = next === null ? {} : { member_count: chat.members.size, members_next: next };
    return { owner: chat.owner, members, ...counted, ...this.#standing(chat) };
  }

  #standing({ uri, members, read }: Chat): object {
    if (members.size > this.membersTold) return { read: null, online: null };
    return { read: Object.fromEntries(read), online: [...this.online(uri)] };
  }

  /** The members who joined after this entry; 0 includes the first owner. */
  #membersPage({ uri, members, log }: Chat, after: number): { members: User[]; next: string | null } {
    const joining = (user: User) =>
      log.filter(({ type, user: { id } }) => type === "joined" && id === user.id).at(-1)?.id ?? 0;
    const all = [...members.values()].filter((user) => after === 0 || joining(user) > after);
    const page = all.slice(0, this.membersShown);
    const [last] = page.slice(-1);
    const next = last && page.length < all.length ? `/api/chats/${uri}/members/?cursor=${joining(last)}` : null;
    return { members: page, next };
  }

  #history({ uri }: Chat, query: URLSearchParams, reader: User): object {
    const number = (name: string) => (query.has(name) ? Number(query.get(name)) : undefined);
    const [after, before, limit = 1000] = ["after", "before", "limit"].map(number);
    const all = this.messages(uri, reader).filter(({ id }) => id > (after ?? 0) && id < (before ?? 1e9));
    const more = all.length > limit;
    const messages = after === undefined ? all.slice(-limit) : all.slice(0, limit);
    // Sometimes a relative reference, sometimes absolute with an internal host.
    const origin = this.requests.length % 2 === 0 ? "" : "http://inside:3000";
    const address = (name: string, id: number) => `${origin}/api/chats/${uri}/messages/?${name}=${id}&limit=${limit}`;
    const [first, last] = [messages[0]?.id, messages.at(-1)?.id];
    if (after !== undefined) {
      const previous = after > 0 ? address("before", first ?? after + 1) : null;
      return { messages, next: more ? address("after", last ?? after) : null, previous };
    }
    const next = before === undefined ? null : address("after", last ?? before - 1);
    return { messages, next, previous: more && first !== undefined ? address("before", first) : null };
  }
}

function shown(entry: Stored, reader: User): Message {
  const { id, user, message = "", create_date, edit_date = null, delete_date = null, reply_to = null } = entry;
  const reactions = [...entry.reactions]
    .filter(([, users]) => users.size > 0)
    .map(([emoji, users]) => ({ emoji, count: users.size, mine: users.has(reader.id) }))
    .sort((a, b) => b.count - a.count || (a.emoji < b.emoji ? -1 : 1));
  return { id, user, message, create_date, edit_date, delete_date, reply_to, reactions };
}

/** An entry is told with what is true when it is told. */
function told({ uri, log }: Chat, entry: Stored): Entry {
  const { type, id, user, create_date, of, emoji, reply_to } = entry;
  const about = of === undefined ? undefined : log[of - 1];
  const said = type === "message" ? entry : type === "edited" ? about : undefined;
  const present = {
    ...(of !== undefined && { of }),
    ...(said && { message: said.message ?? "", ...(said.delete_date && { delete_date: said.delete_date }) }),
    ...(reply_to && { reply_to }),
    ...(entry.edit_date && { edit_date: entry.edit_date }),
    ...(emoji !== undefined && { emoji, count: about?.reactions.get(emoji)?.size ?? 0 }),
  };
  return { type, uri, id, user, create_date, ...present } as Entry;
}
