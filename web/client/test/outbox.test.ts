/** The outbox: sending, retries and refused messages. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { outboxStates, postedMessages, URI, World } from "./world.js";

test("a message stays in the outbox until it is sent and shown", async () => {
  const world = new World();
  const client = world.bob.client();
  const chat = client.chat(URI);
  world.post(1);
  const added = client.send(URI, "Hello", 2);
  assert.equal(added.state, "queued");
  await world.advance(100);
  assert.deepEqual(postedMessages(world), ["Hello"]);
  assert.deepEqual(outboxStates(client), []);
  assert.equal(chat.timeline.messages.at(-1)?.reply_to, 2);
  assert.equal(world.bob.storage.length, 0);
  // The response arrives before the entry.
  const { key } = client.send(URI, "again");
  const sent: unknown[] = [];
  client.outbox.on("sent", (message) => sent.push(message.id));
  world.server.socket.receive({ type: "sent", uri: URI, id: 4, key, create_date: "" });
  assert.deepEqual(outboxStates(client), ["again: sent"]);
  assert.equal(world.bob.storage.length, 0);
  await world.advance(100);
  assert.deepEqual(outboxStates(client), []);
  assert.deepEqual(sent, [4]);
});

test("without an open chat, a sent message is removed at once", async () => {
  const world = new World();
  const client = world.bob.client();
  client.send(URI, "Hello");
  await world.advance(100);
  assert.deepEqual([postedMessages(world), outboxStates(client)], [["Hello"], []]);
});

test("messages that are written without a connection are sent in order", async () => {
  const world = new World();
  world.server.weather.failures = 1;
  const client = world.bob.client();
  for (const text of ["one", "two", "three"]) client.send(URI, text);
  await world.advance(20_000);
  assert.deepEqual(outboxStates(client), ["one: queued", "two: queued", "three: queued"]);
  world.server.weather.failures = 0;
  await world.advance(30_000);
  assert.deepEqual(postedMessages(world), ["one", "two", "three"]);
  assert.deepEqual(outboxStates(client), []);
});

test("one message is in flight at a time in each chat", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  client.send(URI, "one");
  client.send(URI, "two");
  assert.equal(world.server.socket.actionsOf("send").length, 1);
  await world.advance(100);
  assert.deepEqual(postedMessages(world), ["one", "two"]);
});

test("a message without a response is sent again with the same key", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  client.send(URI, "one");
  client.send(URI, "two");
  // The message arrives, the response does not.
  await world.advance(10);
  world.server.cut();
  assert.deepEqual(postedMessages(world), ["one"]);
  await world.advance(1000);
  assert.deepEqual(postedMessages(world), ["one", "two"]);
  const keys = world.server.sockets.flatMap((socket) => socket.actionsOf("send").map(({ key }) => key));
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 2);
});

test("a lost response on a live socket times out after ten seconds", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  world.server.weather.loss = 1;
  client.send(URI, "one");
  await world.advance(5000);
  world.server.weather.loss = 0;
  assert.deepEqual(outboxStates(client), ["one: sending"]);
  await world.advance(6000);
  assert.deepEqual([postedMessages(world), outboxStates(client)], [["one"], []]);
  assert.equal(world.server.sockets.length, 1);
});

test("a rate-limited message waits for retry_after", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  const { key } = client.send(URI, "one");
  const { socket } = world.server;
  client.send(URI, "two");
  world.server.weather.loss = 1;
  const refusal = { type: "error", action: "send", status: 429, detail: "Request was throttled.", uri: URI, key };
  socket.receive({ ...refusal, retry_after: 40 });
  await world.advance(39_000);
  world.server.weather.loss = 0;
  assert.equal(socket.actionsOf("send").length, 1);
  await world.advance(2000);
  assert.deepEqual(postedMessages(world), ["one", "two"]);
  assert.deepEqual(
    socket.actionsOf("send").map(({ message }) => message),
    ["one", "one", "two"],
  );
});

test("a message is retried if the server is busy or fails", async () => {
  for (const status of [500, 503]) {
    const world = new World();
    const client = world.bob.client();
    await world.advance(100);
    const { key } = client.send(URI, "one");
    world.server.weather.loss = 1;
    world.server.socket.receive({ type: "error", action: "send", status, detail: "", uri: URI, key });
    await world.advance(0);
    world.server.weather.loss = 0;
    await world.advance(1000);
    assert.deepEqual(postedMessages(world), ["one"]);
  }
});

test("a permanent error refuses a message, which blocks no other, and can be retried or discarded", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  client.send(URI, "\0");
  const { key } = client.send("000000000000002", "nowhere");
  client.send(URI, "two");
  await world.advance(100);
  assert.deepEqual(postedMessages(world), ["two"]);
  const [refused] = client.outbox.of(URI);
  assert.deepEqual([refused?.state, refused?.problem], ["refused", "message: Null characters are not allowed."]);
  await world.advance(60_000);
  world.server.cut();
  await world.advance(60_000);
  const attempts = world.server.sockets.flatMap((socket) => socket.actionsOf("send"));
  assert.equal(attempts.length, 3);
  client.outbox.discard(refused?.key ?? "");
  assert.deepEqual(outboxStates(client), []);
  world.server.createChat("000000000000002", world.bob.user);
  client.outbox.retry(key);
  client.outbox.retry(key);
  await world.advance(100);
  assert.deepEqual(client.outbox.of("000000000000002"), []);
  assert.deepEqual(world.server.socket.actionsOf("send"), [
    { action: "send", uri: "000000000000002", message: "nowhere", key },
  ]);
  assert.equal(world.bob.storage.length, 0);
});

test("only a refused message can be discarded or retried", async () => {
  const world = new World();
  const client = world.bob.client();
  const { key } = client.send(URI, "one");
  client.outbox.discard(key);
  client.outbox.retry(key);
  client.outbox.discard("unknown");
  await world.advance(100);
  assert.deepEqual(postedMessages(world), ["one"]);
});

test("unsent has the messages of all chats, including refused ones", async () => {
  const world = new World();
  world.server.weather.failures = 1;
  const client = world.bob.client();
  client.send(URI, "one");
  client.send("000000000000002", "nowhere");
  assert.equal(client.outbox.unsent.length, 2);
  world.server.weather.failures = 0;
  await world.advance(60_000);
  assert.deepEqual(
    client.outbox.unsent.map(({ state }) => state),
    ["refused"],
  );
});

test("with a rejected token, nothing is sent and nothing is lost", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  world.server.tokens.delete(world.bob.token);
  client.send(URI, "one");
  await world.advance(60_000);
  assert.equal(client.connection.state, "expired");
  world.server.tokens.set(world.bob.token, world.bob.user);
  const again = world.bob.client();
  await world.advance(100);
  assert.deepEqual([postedMessages(world), outboxStates(again)], [["one"], []]);
});
