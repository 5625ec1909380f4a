/** Chats: loading the history, at first and after missing too much. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { openLiveChat, texts, URI, World } from "./world.js";

test("it starts with the latest messages, and loads older ones on request", async () => {
  const world = new World();
  world.post(250);
  const chat = world.bob.client().chat(URI);
  assert.equal(chat.state, "opening");
  await world.advance(100);
  assert.equal(chat.state, "live");
  assert.equal(texts(chat).length, 100);
  assert.equal(texts(chat).at(-1), "message 251");
  assert.deepEqual(chat.timeline.members, [world.ann.user, world.bob.user]);
  assert.equal(await chat.loadOlder(), true);
  assert.equal(await chat.loadOlder(), false);
  assert.equal(texts(chat).length, 250);
  const { length } = world.server.requests;
  assert.equal(await chat.loadOlder(), false);
  assert.equal(world.server.requests.length, length);
});

test("after missing too much, the history is loaded again, including known messages", async () => {
  const world = new World();
  world.server.weather.recoverable = 5;
  world.post(2);
  const { chat, ids } = await openLiveChat(world);
  const before = chat.timeline.messages[0];
  world.server.cut();
  const { ann, bob } = world;
  world.server.edit(URI, ann.user, 2, "edited meanwhile");
  world.server.react(URI, bob.user, 2, "👍");
  world.server.delete(URI, ann.user, 3);
  world.post(2500);
  world.server.leave(URI, ann.user);
  await world.advance(2000);
  assert.equal(chat.state, "live");
  assert.ok(world.server.requests.some((request) => request.includes("?after=507&limit=1000")));
  assert.equal(chat.timeline.firstId, 508);
  assert.equal(chat.lastId, 2507);
  assert.deepEqual(chat.timeline.members, [bob.user]);
  while (await chat.loadOlder(1000));
  assert.deepEqual(chat.timeline.messages, world.server.messages(URI, bob.user));
  assert.equal(chat.timeline.messages[0]?.message, "edited meanwhile");
  assert.notEqual(chat.timeline.messages[0], before);
  // Then entries are applied again.
  const known = ids.length;
  world.post(1);
  await world.advance(100);
  assert.deepEqual(ids.slice(known), [2508]);
});

test("starting further back than a response can recover loads the history", async () => {
  const world = new World();
  world.server.weather.recoverable = 5;
  world.post(20);
  const { chat, ids } = await openLiveChat(world);
  assert.equal(texts(chat).length, 20);
  assert.deepEqual(ids, []);
  const requests = world.server.requests.length;
  world.post(1);
  await world.advance(1000);
  assert.deepEqual(ids, [22]);
  assert.equal(world.server.requests.length, requests);
});

test("responses that never recover cause no endless requests", async () => {
  const world = new World();
  world.server.weather.recoverable = -1;
  const chat = world.bob.client().chat(URI);
  await world.advance(60_000);
  assert.notEqual(chat.state, "live");
  const { length } = world.server.requests;
  assert.ok(length > 6 && length < 60, `${length}`);
  world.server.weather.recoverable = 5;
  await world.advance(31_000);
  assert.equal(chat.state, "live");
});

test("a page of older messages is ignored if the messages after it were dropped", async () => {
  const world = new World();
  world.server.weather.recoverable = 5;
  world.post(300);
  const chat = world.bob.client().chat(URI);
  await world.advance(1000);
  assert.equal(chat.timeline.firstId, 202);
  world.server.weather.delay = 25_000;
  const older = chat.loadOlder();
  await world.advance(0);
  world.server.weather.delay = 0;
  world.server.cut();
  world.post(3000);
  await world.advance(3000);
  assert.equal(chat.timeline.firstId, 1302);
  await world.advance(60_000);
  assert.equal(await older, true);
  assert.equal(chat.timeline.firstId, 1302);
  await chat.loadOlder(1000);
  assert.equal(chat.timeline.firstId, 302);
  assert.equal(texts(chat).length, 3000);
});

test("entries that arrive while the history is loaded are not lost", async () => {
  const world = new World();
  world.server.weather.recoverable = 3;
  world.server.weather.delay = 200;
  const client = world.bob.client();
  const chat = client.chat(URI);
  await world.advance(2000);
  world.server.cut();
  for (let n = 0; n < 300; n++) {
    world.post(1);
    if (n % 10 === 5) world.server.edit(URI, world.ann.user, world.server.lastId(URI) - 3, `edited ${n}`);
    await world.advance(20);
  }
  await world.advance(5000);
  assert.equal(chat.state, "live");
  assert.deepEqual(chat.timeline.messages, world.server.messages(URI, world.bob.user));
});

test("loading the history is retried", async () => {
  const world = new World();
  world.post(3);
  const client = world.bob.client();
  await world.advance(100);
  world.server.weather.failures = 1;
  const chat = client.chat(URI);
  await world.advance(60_000);
  assert.equal(chat.state, "opening");
  world.server.weather.failures = 0;
  await world.advance(31_000);
  assert.equal(chat.state, "live");
  assert.equal(texts(chat).length, 3);
});

test("a new connection retries loading the history at once", async () => {
  const world = new World();
  world.server.weather.failures = 1;
  const client = world.bob.client();
  const chat = client.chat(URI);
  await world.advance(300_000);
  world.server.weather.failures = 0;
  while (client.connection.state !== "open") {
    world.bob.window.dispatchEvent(new Event("online"));
    await world.advance(10);
  }
  await world.advance(100);
  assert.equal(chat.state, "live");
});

test("a response while the history is loaded does not make the chat live", async () => {
  const world = new World();
  const { chat } = await openLiveChat(world);
  world.server.weather.recoverable = 1;
  world.server.cut();
  world.post(9);
  while (world.server.sockets[1]?.actionsOf("subscribe").length !== 1) await world.advance(1);
  const { length } = world.server.requests;
  await world.advance(31);
  assert.equal(world.server.requests.length, length);
  const frame = { type: "subscribed", uri: URI, last_id: 1, recovered: true, entries: [] };
  world.server.socket.receive(frame);
  assert.equal(chat.state, "behind");
  await world.advance(2000);
  assert.deepEqual([chat.state, texts(chat).length], ["live", 9]);
});

test("a shorter log replaces the timeline", async () => {
  const world = new World();
  world.post(9);
  const { chat } = await openLiveChat(world);
  world.server.restore(URI, 4);
  world.server.cut();
  world.server.post(URI, world.ann.user, "another fifth");
  await world.advance(2000);
  assert.equal(chat.state, "live");
  assert.deepEqual(texts(chat), ["message 2", "message 3", "message 4", "another fifth"]);
  assert.equal(chat.lastId, 5);
});

test("a late response that is not recovered loads nothing", async () => {
  const world = new World();
  world.post(9);
  const { chat } = await openLiveChat(world);
  const { length } = world.server.requests;
  world.server.socket.receive({ type: "subscribed", uri: URI, last_id: 4, recovered: false, entries: [] });
  await world.advance(1000);
  assert.equal(world.server.requests.length, length);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 1);
  world.server.socket.receive({ type: "subscribed", uri: URI, last_id: 40, recovered: false, entries: [] });
  await world.advance(0);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 2);
  assert.equal(texts(chat).length, 9);
});
