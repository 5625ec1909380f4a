/** A clock, a server, and clients that live with them. */

import { Api, type Chat, Client, type OutboxStorage, type User } from "../src/index.js";
import { Clock, chance } from "./clock.js";
import { Server } from "./server.js";

export const URI = "040213b14a02451";

/** What a browser keeps, as `localStorage` does. */
export class MemoryStorage implements OutboxStorage {
  readonly #items = new Map<string, string>();
  get length(): number {
    return this.#items.size;
  }
  key(index: number): string | null {
    // The order is the browser's business, so it is not the one in which they were set.
    return [...this.#items.keys()].reverse()[index] ?? null;
  }
  getItem(name: string): string | null {
    return this.#items.get(name) ?? null;
  }
  setItem(name: string, value: string): void {
    this.#items.set(name, value);
  }
  removeItem(name: string): void {
    this.#items.delete(name);
  }
}

/** A user with a browser. */
export class Person {
  readonly storage = new MemoryStorage();
  readonly window = new EventTarget();
  readonly world: World;
  readonly user: User;
  readonly token: string;

  constructor(world: World, username: string) {
    this.world = world;
    const { user, token } = world.server.register(username);
    this.user = user;
    this.token = token;
  }

  client(): Client {
    const environment = this.world.server.environment(this.world.random, this.window);
    const api = new Api({ url: "https://chat.test/", token: this.token, environment });
    return new Client({ api, socketUrl: "wss://chat.test/ws", me: this.user, storage: this.storage, environment });
  }
}

/** Ann's chat, with Bob in it. */
export class World {
  readonly clock = new Clock();
  readonly random: () => number;
  readonly server: Server;
  readonly ann: Person;
  readonly bob: Person;

  constructor(seed = 1) {
    this.random = chance(seed);
    this.server = new Server(this.clock, chance(seed + 1));
    this.ann = new Person(this, "ann");
    this.bob = new Person(this, "bob");
    this.server.createChat(URI, this.ann.user, this.bob.user);
  }

  advance(milliseconds: number): Promise<void> {
    return this.clock.advance(milliseconds);
  }

  /** So many messages of Ann's. */
  post(count: number): void {
    for (let n = 0; n < count; n++) this.server.post(URI, this.ann.user, `message ${this.server.lastId(URI) + 1}`);
  }
}

/** What a chat shows. */
export function texts(chat: Chat): string[] {
  return chat.timeline.messages.map(({ message }) => message);
}
