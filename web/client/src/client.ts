/** What belongs together for one user: a connection, the rooms that listen through it, and the outbox. */

import { type Api, ApiError } from "./api.js";
import { Connection } from "./connection.js";
import { type Environment, environment } from "./environment.js";
import { Outbox, type OutboxMessage, type OutboxStorage } from "./outbox.js";
import { Room } from "./chat.js";
import { wellFormed } from "./text.js";
import type { User } from "./wire.js";

/** How a {@link Client} is made. */
export interface ClientOptions {
  /** The HTTP API, logged in. */
  readonly api: Api;
  /** Where the sockets are, such as `wss://sockets.example.com`. */
  readonly socketUrl: string;
  /** Who one is, as {@link Api.me} says. */
  readonly me: Pick<User, "id">;
  /** Where messages that are not sent yet outlive the page, such as `localStorage`. */
  readonly storage?: OutboxStorage;
  readonly environment?: Partial<Environment>;
}

/** A user's client. It connects at once, and stays connected until it is closed or its token expires. */
export class Client {
  readonly api: Api;
  /** Tells with `state` whether there is a connection, and by `expired` that one has to log in again, which takes a new client. */
  readonly connection: Connection;
  readonly outbox: Outbox;
  readonly #rooms = new Map<string, Room>();
  readonly #me: number;
  readonly #environment: Environment;
  readonly #unheed: () => void;

  constructor(options: ClientOptions) {
    const { api, storage, me } = options;
    if (api.token === undefined) throw new Error("Log in first.");
    this.api = api;
    this.#me = me.id;
    this.#environment = environment(options.environment);
    this.connection = new Connection({
      url: options.socketUrl,
      token: api.token,
      environment: this.#environment,
      refused: () => this.#isRefused(),
    });
    this.#unheed = api.on("unauthorized", () => this.connection.expire());
    this.outbox = new Outbox({ connection: this.connection, environment: this.#environment, storage, me: me.id });
    this.outbox.on("sent", ({ uri }) => this.#settle(uri));
    this.connection.open();
  }

  /** A chat, which is listened to from now on, until its `close`; the same one however often it is asked for. */
  room(address: string, options: { readonly after?: number } = {}): Room {
    const uri = wellFormed(address);
    const known = this.#rooms.get(uri);
    if (known) return known;
    const { api, connection } = this;
    const room = new Room({ uri, me: this.#me, api, connection, environment: this.#environment, ...options });
    this.#rooms.set(uri, room);
    room.on("change", () => this.#settle(uri));
    room.on("state", (state) => {
      if (state !== "left" && state !== "closed") return;
      if (this.#rooms.get(uri) === room) this.#rooms.delete(uri);
      this.#settle(uri);
    });
    return room;
  }

  /** Sends a message to a chat, now or as soon as that is possible. */
  send(uri: string, message: string, replyTo?: number): OutboxMessage {
    return this.outbox.add(uri, message, replyTo);
  }

  /** Closes the connection and all rooms. What is in the outbox stays in its storage. */
  close(): void {
    this.#unheed();
    this.connection.close();
    for (const room of [...this.#rooms.values()]) room.close();
  }

  #settle(uri: string): void {
    this.outbox.settle(uri, this.#rooms.get(uri)?.lastId ?? Number.POSITIVE_INFINITY);
  }

  async #isRefused(): Promise<boolean> {
    try {
      await this.api.me();
      return false;
    } catch (error) {
      return error instanceof ApiError && error.status === 401;
    }
  }
}
