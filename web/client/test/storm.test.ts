import assert from "node:assert/strict";
import { test } from "node:test";
import type { Chat, Client } from "../src/index.js";
import { seededRandom } from "./clock.js";
import { FAIR } from "./server.js";
import { Person, URI, World } from "./world.js";

/** `STORM_SEEDS` is the number of seeds, `STORM_SEED` selects one. */
const SEEDS = process.env.STORM_SEED
  ? [Number(process.env.STORM_SEED)]
  : Array.from({ length: Number(process.env.STORM_SEEDS ?? 60) }, (_, seed) => seed + 1);
const OTHER = "00000000000000f";
const EMOJI = ["👍", "❤️", "🎉"];
const MINUTE = 60_000;

/** A user with a browser that reloads the page now and then. */
class Visitor {
  client: Client;
  chats: Chat[] = [];
  /** The sent messages of each chat. */
  readonly sent = new Map<string, string[]>([
    [URI, []],
    [OTHER, []],
  ]);

  constructor(readonly person: Person) {
    this.client = this.load();
  }

  load(): Client {
    this.client = this.person.client();
    this.chats = [URI, OTHER].map((uri) => this.openChat(uri));
    return this.client;
  }

  openChat(uri: string): Chat {
    const chat = this.client.chat(uri);
    let last = 0;
    chat.on("entry", ({ id }) => {
      assert.ok(id > last, `entry ${id} after ${last}`);
      last = id;
    });
    return chat;
  }

  send(uri: string): void {
    const texts = this.sent.get(uri) ?? [];
    const text = `${this.person.user.username} ${texts.length}`;
    texts.push(text);
    this.client.send(uri, text);
  }
}

async function storm(seed: number): Promise<string> {
  const random = seededRandom(seed * 7919);
  const below = (number: number) => Math.floor(random() * number);
  const world = new World(seed);
  const { server, clock } = world;
  const guest = new Person(world, "guest");
  server.createChat(OTHER, world.bob.user, world.ann.user);
  const visitors = [world.ann, world.bob].map((person) => new Visitor(person));
  const storms = {
    latency: 1 + below(50),
    delay: below(3000),
    loss: random() * 0.1,
    repeats: random() * 0.3,
    failures: random() * 0.4,
    busy: random() * 0.2,
    recoverable: 1 + below(30),
  };
  const steps: ((uri: string, visitor: Visitor) => void)[] = [
    (uri, { person }) => server.edit(uri, person.user, 1 + below(server.lastId(uri)), `edited ${below(1000)}`),
    (uri, { person }) => server.delete(uri, person.user, 1 + below(server.lastId(uri) * 3)),
    (uri, { person }) => server.react(uri, person.user, 1 + below(server.lastId(uri)), EMOJI[below(3)] ?? ""),
    (uri, { person }) => server.unreact(uri, person.user, 1 + below(server.lastId(uri)), EMOJI[below(3)] ?? ""),
    (uri) => server.join(uri, guest.user),
    (uri) => server.leave(uri, guest.user),
    (uri) => server.post(uri, guest.user, `guest ${server.lastId(uri)}`),
    (uri) => {
      for (let n = below(60); n > 0; n--) server.post(uri, guest.user, `burst ${n}`);
    },
    (uri, visitor) => visitor.client.chat(uri).markRead(),
    (uri, visitor) => visitor.client.chat(uri).sendTyping(),
    // This may fail like any request.
    (uri, visitor) =>
      visitor.client
        .chat(uri)
        .loadOlder(1 + below(20))
        .catch(() => {}),
    (uri, visitor) => {
      visitor.client.chat(uri).close();
      visitor.chats = [URI, OTHER].map((other) => (other === uri ? visitor.openChat(uri) : visitor.client.chat(other)));
    },
    (_, visitor) => server.cut(({ user }) => user?.id === visitor.person.user.id),
    (_, { person }) => {
      for (const socket of server.sockets) if (socket.user === person.user && below(2) === 0) socket.isDead = true;
    },
    (_, visitor) => visitor.person.window.dispatchEvent(new Event(below(2) ? "online" : "offline")),
    (_, visitor) => {
      visitor.client.close();
      visitor.load();
    },
  ];
  for (let round = 0; round < 4; round++) {
    server.weather = storms;
    for (let step = 0; step < 40; step++) {
      const visitor = visitors[below(visitors.length)] as Visitor;
      const uri = below(3) === 0 ? OTHER : URI;
      if (below(2) === 0) visitor.send(uri);
      else steps[below(steps.length)]?.(uri, visitor);
      await clock.advance(below(4000));
      if (below(60) === 0) await clock.advance(110 * MINUTE);
      if (below(10) === 0) server.cut((socket) => socket.isDamaged);
    }

    // The failures end, and nothing else is sent: the server closes damaged sockets, and the clients have to detect
    // dead ones.
    server.weather = FAIR;
    await clock.advance(4000);
    server.cut((socket) => socket.isDamaged);
    await clock.advance(12 * MINUTE);
    for (const visitor of visitors) {
      const { user } = visitor.person;
      assert.equal(visitor.client.connection.state, "open");
      for (const chat of visitor.chats) {
        const { uri, timeline } = chat;
        const log = server.messages(uri, user);
        assert.equal(chat.state, "live");
        assert.equal(chat.lastId, server.lastId(uri));
        assert.deepEqual(
          timeline.messages,
          log.filter(({ id }) => id >= timeline.firstId),
        );
        assert.deepEqual(timeline.members, server.members(uri));
        assert.deepEqual(new Map([...timeline.readMarkers].sort()), new Map([...server.readMarkers(uri)].sort()));
        // No sent message is missing, duplicated or reordered. Its text may have been edited.
        assert.deepEqual(visitor.client.outbox.of(uri), []);
        const own = log.filter((message) => message.user.id === user.id);
        const sent = visitor.sent.get(uri) ?? [];
        assert.equal(own.length, sent.length);
        for (const [n, { message, edit_date, delete_date }] of own.entries()) {
          if (edit_date === null && delete_date === null) assert.equal(message, sent[n]);
        }
      }
      assert.equal(visitor.person.storage.length, 0);
    }
  }
  // The number of requests is bounded; about 300 are typical.
  assert.ok(server.requests.length < 1000 && server.sockets.length < 400);
  for (const visitor of visitors) {
    for (const chat of visitor.chats) {
      while (await chat.loadOlder());
      assert.deepEqual(chat.timeline.messages, server.messages(chat.uri, visitor.person.user));
    }
    visitor.client.close();
  }
  return `${server.sockets.length} sockets, ${server.requests.length} requests, ${server.lastId(URI)} entries`;
}

test("under random failures, nothing is lost, duplicated or reordered", async (t) => {
  for (const seed of SEEDS)
    await t.test(`seed ${seed}`, () => storm(seed).then((summary) => t.diagnostic(`${seed}: ${summary}`)));
});

test("a storm can be reproduced from its seed", async () => {
  assert.equal(await storm(4), await storm(4));
});
