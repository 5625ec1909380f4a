/** A fake clock, a fake server, and users with clients. */

import assert from "node:assert/strict";
import { Api, type Chat, Client, type OutboxStorage, type User } from "../src/index.js";
import { Clock, seededRandom } from "./clock.js";
import { Server } from "./server.js";

export const URI = "040213b14a02451";

/** Storage in memory, like `localStorage`. */
export class MemoryStorage implements OutboxStorage {
  readonly #items = new Map<string, string>();
  get length(): number {
    return this.#items.size;
  }
  key(index: number): string | null {
    // The order depends on the browser, so it is not the order of insertion.
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

/** A chat of Ann, the owner, and Bob. */
export class World {
  readonly clock = new Clock();
  readonly random: () => number;
  readonly server: Server;
  readonly ann: Person;
  readonly bob: Person;

  constructor(seed = 1) {
    this.random = seededRandom(seed);
    this.server = new Server(this.clock, seededRandom(seed + 1));
    this.ann = new Person(this, "ann");
    this.bob = new Person(this, "bob");
    this.server.createChat(URI, this.ann.user, this.bob.user);
  }

  advance(milliseconds: number): Promise<void> {
    return this.clock.advance(milliseconds);
  }

  /** Posts messages as Ann. */
  post(count: number): void {
    for (let n = 0; n < count; n++) this.server.post(URI, this.ann.user, `message ${this.server.lastId(URI) + 1}`);
  }
}

/** The texts of the messages of a chat. */
export function texts(chat: Chat): string[] {
  return chat.timeline.messages.map(({ message }) => message);
}

/** Subscribes to the chat, by default as Bob, with all entries, and waits until it is live. */
export async function openLiveChat(
  world: World,
  person: Person = world.bob,
): Promise<{ client: Client; chat: Chat; ids: number[] }> {
  const client = person.client();
  const chat = client.chat(URI, { after: 0 });
  const ids: number[] = [];
  chat.on("entry", ({ id }) => ids.push(id));
  await world.advance(100);
  assert.equal(chat.state, "live");
  return { client, chat, ids };
}

/** Bob's messages in the log. */
export function postedMessages(world: World): string[] {
  const messages = world.server.messages(URI, world.bob.user).filter(({ user }) => user.id === world.bob.user.id);
  return messages.map(({ message }) => message);
}

/** The texts and states of the messages in the outbox. */
export function outboxStates(client: Client): string[] {
  return client.outbox.of(URI).map(({ message, state }) => `${message}: ${state}`);
}
