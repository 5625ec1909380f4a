/** The outbox: its storage, several windows, and the lifetime of keys. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStorage, outboxStates, postedMessages, URI, World } from "./world.js";

const HOUR = 3600_000;

test("a reload loses and duplicates nothing", async () => {
  const world = new World();
  const before = world.bob.client();
  await world.advance(100);
  for (const text of ["one", "two", "\0", "three"]) before.send(URI, text);
  // The first message arrives, its response does not.
  await world.advance(10);
  before.close();
  assert.equal(world.bob.storage.length, 4);
  const after = world.bob.client();
  assert.equal(after.outbox.of(URI).length, 4);
  await world.advance(1000);
  assert.deepEqual(postedMessages(world), ["one", "two", "three"]);
  assert.deepEqual(outboxStates(after), ["\0: refused"]);
  assert.deepEqual(outboxStates(world.bob.client()), ["\0: refused"]);
});

test("two windows share an outbox, and each message is sent once", async () => {
  const world = new World();
  world.server.weather.failures = 1;
  const first = world.bob.client();
  first.send(URI, "one");
  const second = world.bob.client();
  second.send(URI, "two");
  world.server.weather.failures = 0;
  await world.advance(60_000);
  assert.deepEqual(postedMessages(world).sort(), ["one", "two"]);
  assert.equal(world.bob.storage.length, 0);
});

test("unsent messages of a closed window are sent by an open one", async () => {
  const world = new World();
  const open = world.bob.client();
  await world.advance(100);
  world.server.weather.failures = 1;
  world.server.cut();
  await world.advance(100);
  const closed = world.bob.client();
  closed.send(URI, "one");
  closed.send(URI, "two");
  await world.advance(10);
  open.send(URI, "three");
  closed.close();
  assert.deepEqual(outboxStates(open), ["three: queued"]);
  const changes: string[] = [];
  open.outbox.on("change", (uri) => changes.push(uri));
  world.server.weather.failures = 0;
  await world.advance(60_000);
  assert.deepEqual(postedMessages(world), ["one", "two", "three"]);
  assert.deepEqual(outboxStates(open), []);
  assert.ok(changes.includes(URI));
  assert.equal(world.bob.storage.length, 0);
});

test("restoring a message keeps the state that is known in memory", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  const { key } = client.send(URI, "\0");
  await world.advance(100);
  assert.deepEqual(outboxStates(client), ["\0: refused"]);
  const name = `confab.outbox.${world.bob.user.id}.${key}`;
  const stored = JSON.parse(world.bob.storage.getItem(name) ?? "");
  world.bob.storage.setItem(name, JSON.stringify({ ...stored, state: "sending" }));
  world.server.cut();
  await world.advance(60_000);
  assert.deepEqual(outboxStates(client), ["\0: refused"]);
});

test("each user has a separate outbox", async () => {
  const world = new World();
  world.server.weather.failures = 1;
  world.bob.client().send(URI, "Bob's");
  const { storage } = world.bob;
  const ann = Object.assign(world.ann, { storage }).client();
  assert.deepEqual(ann.outbox.of(URI), []);
});

test("a message that was tried more than a day ago is not resent automatically", async () => {
  const world = new World();
  const before = world.bob.client();
  await world.advance(100);
  world.server.weather.loss = 1;
  before.send(URI, "perhaps");
  await world.advance(0);
  before.close();
  await world.advance(20 * HOUR);
  // The first attempt counts.
  const later = world.bob.client();
  await world.advance(1000);
  later.close();
  await world.advance(4 * HOUR);
  world.server.weather.loss = 0;
  world.server.weather.failures = 1;
  const offline = world.bob.client();
  offline.send(URI, "never tried");
  await world.advance(100);
  offline.close();
  world.server.weather.failures = 0;
  const client = world.bob.client();
  await world.advance(100);
  assert.deepEqual(postedMessages(world), ["never tried"]);
  const [doubtful] = client.outbox.of(URI);
  assert.equal(doubtful?.state, "refused");
  client.outbox.retry(doubtful?.key ?? "");
  await world.advance(100);
  assert.deepEqual(postedMessages(world), ["never tried", "perhaps"]);
  assert.notEqual(world.server.socket.actionsOf("send").at(-1)?.key, doubtful?.key);
});

test("a full storage does not prevent sending", async () => {
  const world = new World();
  class Full extends MemoryStorage {
    override setItem(): void {
      throw new Error("QuotaExceededError");
    }
  }
  const client = Object.assign(world.bob, { storage: new Full() }).client();
  client.send(URI, "one");
  await world.advance(100);
  assert.deepEqual(postedMessages(world), ["one"]);
  const garbled = new MemoryStorage();
  garbled.setItem("confab.outbox.2.x", "{");
  garbled.setItem("another page's", "{");
  assert.deepEqual(Object.assign(world.bob, { storage: garbled }).client().outbox.of(URI), []);
});

test("invalid stored items are removed, and block no message", async () => {
  const world = new World();
  const { storage } = world.bob;
  const good = { key: "good", uri: URI, message: "one", date: 1, state: "queued" };
  for (const [name, value] of Object.entries({
    null: null,
    number: 7,
    list: [],
    text: { ...good, key: "text", message: 7 },
    date: { ...good, key: "date", date: "yesterday" },
    state: { ...good, key: "state", state: "lost" },
    name: { ...good, key: "another" },
    good,
  })) {
    storage.setItem(`confab.outbox.${world.bob.user.id}.${name}`, JSON.stringify(value));
  }
  storage.setItem(`confab.outbox.${world.bob.user.id}.garbled`, "{");
  storage.setItem("another page's", "null");
  const client = world.bob.client();
  assert.deepEqual(outboxStates(client), ["one: queued"]);
  await world.advance(100);
  assert.deepEqual(postedMessages(world), ["one"]);
  assert.equal(storage.length, 1);
});

test("a forbidden storage does not prevent sending", async () => {
  const world = new World();
  class Forbidden extends MemoryStorage {
    override get length(): number {
      throw new Error("SecurityError");
    }
    override getItem(): never {
      throw new Error("SecurityError");
    }
  }
  const client = Object.assign(world.bob, { storage: new Forbidden() }).client();
  client.send(URI, "one");
  await world.advance(100);
  assert.deepEqual(postedMessages(world), ["one"]);
});

test("unsendable messages that an earlier version stored do not block others", async () => {
  const world = new World();
  const { storage } = world.bob;
  const stored = [
    { key: "half", message: "cut off \ud83d", date: 1, state: "sending", tried: world.clock.now },
    { key: "long", message: "a".repeat(50_000), date: 2, state: "sending", tried: world.clock.now },
    { key: "empty", message: "", date: 3, state: "queued" },
    {
      key: "reply",
      message: "No!",
      date: 4,
      state: "refused",
      replyTo: 7,
      problem: "reply_to: There is no such message in this chat.",
    },
    { key: "good", message: "two", date: 5, state: "queued" },
  ];
  for (const message of stored) {
    storage.setItem(`confab.outbox.${world.bob.user.id}.${message.key}`, JSON.stringify({ uri: URI, ...message }));
  }
  const client = world.bob.client();
  await world.advance(1000);
  assert.deepEqual(postedMessages(world), ["cut off \ufffd", "two"]);
  assert.deepEqual(
    client.outbox.of(URI).map(({ key, state, isReplyLost = false }) => [key, state, isReplyLost]),
    [
      ["long", "refused", false],
      ["empty", "refused", false],
      ["reply", "refused", true],
    ],
  );
  assert.equal(world.server.sockets.length, 1);
});

test("a message that was tried is not resent automatically after the clock was set by a day", async () => {
  for (const days of [-30, -1, 1, 30]) {
    const world = new World();
    const before = world.bob.client();
    await world.advance(100);
    world.server.weather.loss = 1;
    before.send(URI, "perhaps");
    await world.advance(0);
    before.close();
    world.server.weather.loss = 0;
    world.clock.now += days * 24 * HOUR;
    const client = world.bob.client();
    await world.advance(100);
    assert.deepEqual([postedMessages(world), outboxStates(client)], [[], ["perhaps: refused"]], `${days}`);
  }
});
