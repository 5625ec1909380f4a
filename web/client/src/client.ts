/** The client of one user: a connection, the chats that are subscribed to through it, and the outbox. */

import { type Api, ApiError } from "./api.js";
import { Chat } from "./chat.js";
import { Connection } from "./connection.js";
import { createEnvironment, type Environment } from "./environment.js";
import { Outbox, type OutboxMessage, type OutboxStorage } from "./outbox.js";
import { toWellFormed } from "./text.js";
import type { User } from "./wire.js";

/** The options of a {@link Client}. */
export interface ClientOptions {
  /** The HTTP API, logged in. */
  readonly api: Api;
  /** The URL of the WebSocket API, such as `wss://sockets.example.com`. */
  readonly socketUrl: string;
  /** The logged-in user, as returned by {@link Api.me}. */
  readonly me: Pick<User, "id">;
  /** Stores unsent messages beyond the page, such as `localStorage`. */
  readonly storage?: OutboxStorage;
  readonly environment?: Partial<Environment>;
}

/** The client of one user. It connects at once, and stays connected until it is closed or its token expires. */
export class Client {
  readonly api: Api;
  /**
   * Its `state` event reports the connection's state. After `expired`, the user has to log in again, with a new client.
   */
  readonly connection: Connection;
  readonly outbox: Outbox;
  readonly #chats = new Map<string, Chat>();
  readonly #me: number;
  readonly #environment: Environment;
  readonly #offUnauthorized: () => void;

  constructor(options: ClientOptions) {
    const { api, storage, me } = options;
    if (api.token === undefined) throw new Error("Log in first.");
    this.api = api;
    this.#me = me.id;
    this.#environment = createEnvironment(options.environment);
    this.connection = new Connection({
      url: options.socketUrl,
      token: api.token,
      environment: this.#environment,
      isUnauthorized: () => this.#isUnauthorized(),
    });
    this.#offUnauthorized = api.on("unauthorized", () => this.connection.expire());
    this.outbox = new Outbox({ connection: this.connection, environment: this.#environment, storage, me: me.id });
    this.outbox.on("sent", ({ uri }) => this.#removeShown(uri));
    this.connection.open();
  }

  /** Subscribes to a chat until its {@link Chat.close}. Returns the same object for the same chat. */
  chat(address: string, options: { readonly after?: number } = {}): Chat {
    const uri = toWellFormed(address);
    const known = this.#chats.get(uri);
    if (known) return known;
    const { api, connection } = this;
    const chat = new Chat({ uri, me: this.#me, api, connection, environment: this.#environment, ...options });
    this.#chats.set(uri, chat);
    chat.on("change", () => this.#removeShown(uri));
    chat.on("state", (state) => {
      if (state !== "left" && state !== "closed") return;
      if (this.#chats.get(uri) === chat) this.#chats.delete(uri);
      this.#removeShown(uri);
    });
    return chat;
  }

  /** Sends a message to a chat, now or once there is a connection. */
  send(uri: string, message: string, replyTo?: number): OutboxMessage {
    return this.outbox.add(uri, message, replyTo);
  }

  /** Closes the connection and all chats. The outbox stays in its storage. */
  close(): void {
    this.#offUnauthorized();
    const chats = [...this.#chats.values()];
    for (const chat of chats) chat.sendReadMarker();
    this.connection.close();
    for (const chat of chats) chat.close();
  }

  #removeShown(uri: string): void {
    this.outbox.removeShown(uri, this.#chats.get(uri)?.lastId ?? Number.POSITIVE_INFINITY);
  }

  async #isUnauthorized(): Promise<boolean> {
    try {
      await this.api.me();
      return false;
    } catch (error) {
      return error instanceof ApiError && error.status === 401;
    }
  }
}
