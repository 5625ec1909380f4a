/** Chats: entries in order, gaps, subscriptions, read markers, typing indicators, presence and other frames. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { openLiveChat, texts, URI, World } from "./world.js";

test("it starts after an entry, with the option `after`", async () => {
  const world = new World();
  world.post(5);
  const chat = world.bob.client().chat(URI, { after: 3 });
  await world.advance(100);
  assert.deepEqual(texts(chat), ["message 4", "message 5", "message 6"]);
  assert.deepEqual(chat.timeline.members, [world.ann.user, world.bob.user]);
  assert.equal(await chat.loadOlder(), false);
  assert.equal(texts(chat).length, 5);
});

test("duplicate entries are applied once", async () => {
  const world = new World();
  const { chat, ids } = await openLiveChat(world);
  world.server.weather.repeats = 1;
  world.post(3);
  await world.advance(1000);
  world.server.socket.receive(...world.server.entries(URI));
  assert.deepEqual(ids, [1, 2, 3, 4]);
  assert.equal(texts(chat).length, 3);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 1);
});

test("a frame can have several objects", async () => {
  const world = new World();
  const { client, ids } = await openLiveChat(world);
  world.server.cut();
  world.post(3);
  const entries = world.server.entries(URI, 1);
  while (client.connection.state !== "open") await world.advance(1);
  world.server.socket.receive(...entries);
  assert.deepEqual(ids, [1, 2, 3, 4]);
});

test("entries after a gap wait until the gap is filled", async () => {
  const world = new World();
  const { chat, ids } = await openLiveChat(world);
  world.server.weather.loss = 1;
  world.post(2);
  await world.advance(100);
  world.server.weather.loss = 0;
  world.post(2);
  // The latency of two frames: an entry to the client, and its `subscribe` to the server.
  await world.advance(20);
  assert.deepEqual(texts(chat), []);
  assert.deepEqual(world.server.socket.actionsOf("subscribe").slice(1), [{ action: "subscribe", uri: URI, after: 1 }]);
  await world.advance(100);
  assert.deepEqual(ids, [1, 2, 3, 4, 5]);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 2);
});

test("entries that arrive out of order are applied in order", async () => {
  const world = new World();
  const { ids } = await openLiveChat(world);
  world.post(4);
  const [two, three, four, five] = world.server.entries(URI, 1);
  for (const entry of [three, five, two, four]) world.server.socket.receive(entry as object);
  assert.deepEqual(ids, [1, 2, 3, 4, 5]);
});

test("with a gap after the response, it subscribes again", async () => {
  const world = new World();
  const { chat, ids } = await openLiveChat(world);
  const { socket } = world.server;
  world.post(6);
  const entries = world.server.entries(URI, 1);
  socket.receive(entries[1] as object);
  socket.receive(entries[4] as object);
  await world.advance(0);
  assert.equal(socket.actionsOf("subscribe").length, 2);
  // This response is older than entry 6.
  const response = { type: "subscribed", uri: URI, last_id: 3, recovered: true, entries: entries.slice(0, 2) };
  socket.receive(response);
  assert.deepEqual(ids, [1, 2, 3]);
  await world.advance(0);
  assert.deepEqual(socket.actionsOf("subscribe").at(-1), { action: "subscribe", uri: URI, after: 3 });
  await world.advance(100);
  assert.deepEqual(ids, [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(chat.state, "live");
});

test("with a gap that no response fills, it backs off", async () => {
  const world = new World();
  const { chat } = await openLiveChat(world);
  const { socket } = world.server;
  socket.receive({ ...world.server.entries(URI)[0], id: 1000 });
  await world.advance(60_000);
  const count = socket.actionsOf("subscribe").length;
  assert.ok(count > 3 && count < 40, `${count}`);
  world.post(2);
  await world.advance(100);
  assert.equal(texts(chat).length, 2);
});

test("a subscription without a response is repeated", async () => {
  const world = new World();
  world.server.weather.loss = 1;
  const chat = world.bob.client().chat(URI);
  await world.advance(9000);
  world.server.weather.loss = 0;
  assert.notEqual(chat.state, "live");
  await world.advance(2000);
  assert.equal(chat.state, "live");
});

test("a busy server's retry_after is respected", async () => {
  const world = new World();
  world.server.weather.busy = 1;
  const chat = world.bob.client().chat(URI);
  await world.advance(100);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 1);
  await world.advance(900);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 1);
  world.server.weather.busy = 0;
  await world.advance(1000);
  assert.equal(chat.state, "live");
});

test("typing indicators are limited in rate, and expire", async () => {
  const world = new World();
  const { chat } = await openLiveChat(world);
  const ann = (await openLiveChat(world, world.ann)).chat;
  let changes = 0;
  for (let key = 0; key < 10; key++) {
    chat.sendTyping();
    await world.advance(800);
  }
  assert.equal(world.server.sockets[0]?.actionsOf("typing").length, 2);
  assert.deepEqual(ann.timeline.typing(world.clock.elapsed), [world.bob.user]);
  assert.deepEqual(chat.timeline.typing(world.clock.elapsed), []);
  ann.on("change", () => changes++);
  await world.advance(10_000);
  assert.ok(changes > 0);
  assert.deepEqual(ann.timeline.typing(world.clock.elapsed), []);
  chat.sendTyping();
  await world.advance(100);
  assert.equal(ann.timeline.typing(world.clock.elapsed).length, 1);
  world.server.post(URI, world.bob.user, "typed it");
  await world.advance(100);
  assert.deepEqual(ann.timeline.typing(world.clock.elapsed), []);
});

test("presence is known", async () => {
  const world = new World();
  const { chat } = await openLiveChat(world);
  assert.deepEqual(chat.timeline.online, new Set([2]));
  const { client } = await openLiveChat(world, world.ann);
  await world.advance(5000);
  assert.deepEqual(chat.timeline.online, new Set([1, 2]));
  client.close();
  await world.advance(6000);
  assert.deepEqual(chat.timeline.online, new Set([2]));
});

test("frames of other programs are emitted as published", async () => {
  const world = new World();
  const { chat } = await openLiveChat(world);
  const published: unknown[] = [];
  chat.on("published", (object) => published.push(object));
  world.server.publish(URI, { type: "weather", id: 99, degrees: 21.5 });
  world.server.publish(URI, { degrees: 22 });
  await world.advance(100);
  assert.deepEqual(published, [
    { uri: URI, type: "weather", id: 99, degrees: 21.5 },
    { uri: URI, degrees: 22 },
  ]);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 1);
});

test("an entry of an unknown type advances the log", async () => {
  const world = new World();
  const { chat } = await openLiveChat(world);
  world.post(2);
  const [two, three] = world.server.entries(URI, 1);
  const { socket } = world.server;
  socket.receive({ ...two, type: "pinned" });
  socket.receive(three as object);
  socket.receive({
    type: "subscribed",
    uri: URI,
    last_id: 3,
    recovered: true,
    entries: [{ ...two, type: "pinned" }, three],
  });
  assert.equal(chat.lastId, 3);
  assert.deepEqual(texts(chat), ["message 3"]);
});

test("a void is counted and not applied", async () => {
  const world = new World();
  const { chat, ids } = await openLiveChat(world);
  world.post(2);
  const [, three] = world.server.entries(URI, 1);
  world.server.socket.receive({ type: "void", uri: URI, id: 2, create_date: "2026-11-27T20:00:00.000000Z" });
  world.server.socket.receive(three as object);
  assert.equal(chat.lastId, 3);
  assert.deepEqual(texts(chat), ["message 3"]);
  assert.deepEqual(ids, [1, 3]);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 1);
});

test("one change event is emitted for all changes of a task", async () => {
  const world = new World();
  const { chat } = await openLiveChat(world);
  let changes = 0;
  chat.on("change", () => changes++);
  world.server.cut();
  world.post(500);
  await world.advance(2000);
  assert.equal(texts(chat).length, 500);
  assert.equal(changes, 1);
});

test("invalid frames with a type of the protocol do no harm", async () => {
  const world = new World();
  const client = world.bob.client();
  const chat = client.chat(URI);
  const errors: unknown[] = [];
  const note = (error: unknown) => errors.push(error);
  process.on("uncaughtException", note);
  try {
    await world.advance(100);
    const received: unknown[] = [];
    client.connection.on("frame", (frame) => received.push(frame.type));
    const fields = { id: chat.lastId + 1, user: world.ann.user, create_date: "2026-11-23T16:00:00.000000Z" };
    const types = ["message", "edited", "deleted", "reacted", "unreacted", "joined", "left", "owner"];
    for (const type of [...types, "read", "typing", "online", "offline", "subscribed"]) {
      world.server.publish(URI, { type });
      world.server.publish(URI, { type, ...fields, user: null });
      world.server.publish(URI, { type, ...fields, id: "next", of: "first", read: { 1: "last" } });
      world.server.publish(URI, {
        type,
        ...fields,
        message: 7,
        emoji: 7,
        of: null,
        user: {},
        entries: [null],
        last_id: 1,
      });
    }
    world.server.publish(URI, { type: "subscribed", last_id: 1, recovered: true, entries: [], read: null });
    world.server.publish(URI, { type: "subscribed", last_id: 1, recovered: true, entries: [], online: "all" });
    for (const type of ["error", "sent", "unsubscribed", "added", "done", "pong", null, 7]) {
      world.server.publish(URI, { type, key: 7, id: null });
    }
    await world.advance(1000);
    assert.ok(received.length > 0);
    world.post(1);
    await world.advance(10_000);
    assert.equal(chat.state, "live");
    assert.equal(texts(chat).at(-1), `message ${world.server.lastId(URI)}`);
    assert.deepEqual(errors, []);
  } finally {
    process.off("uncaughtException", note);
  }
});
