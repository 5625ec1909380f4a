/** The outbox: invalid messages, and messages that always fail. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { outboxStates, postedMessages, URI, World } from "./world.js";

const MINUTE = 60_000;

/** Makes the server respond to every `send`, except of "two", with this frame. */
function respondWith(world: World, response: (key: string) => object | undefined): void {
  const { server } = world;
  server.onAction = (socket, action) => {
    if (action.action !== "send" || action.message === "two")
      return Object.getPrototypeOf(server).onAction.call(server, socket, action);
    const frame = response(action.key);
    if (frame) server.later(() => socket.receive(frame));
  };
}

test("a lone surrogate is replaced before sending, and in what is shown", async () => {
  const world = new World();
  const client = world.bob.client();
  assert.equal(client.send(URI, "cut off \ud83d").message, "cut off \ufffd");
  client.send(URI, "two");
  await world.advance(100);
  assert.deepEqual([postedMessages(world), outboxStates(client)], [["cut off \ufffd", "two"], []]);
});

test("an empty or too long message is refused without being sent", async () => {
  const world = new World();
  world.server.weather.failures = 1;
  const client = world.bob.client();
  const problems = ["", "a".repeat(2001), "🦀".repeat(2001), "a".repeat(100_000)].map((text) => {
    const { state, problem } = client.send(URI, text);
    return [state, problem];
  });
  const tooLong = "A message has at most 2,000 characters; this one has";
  assert.deepEqual(problems, [
    ["refused", "A message has at least one character."],
    ["refused", `${tooLong} 2,001.`],
    ["refused", `${tooLong} 2,001.`],
    ["refused", `${tooLong} 100,000.`],
  ]);
  client.send(URI, "🦀".repeat(2000));
  world.server.weather.failures = 0;
  await world.advance(MINUTE);
  assert.deepEqual(postedMessages(world), ["🦀".repeat(2000)]);
  for (const { key } of client.outbox.of(URI)) client.outbox.retry(key);
  await world.advance(MINUTE);
  assert.equal(world.server.socket.actionsOf("send").length, 1);
  assert.equal(world.server.sockets.filter(({ state }) => state === "open").length, 1);
  for (const { key } of client.outbox.of(URI)) client.outbox.discard(key);
  assert.deepEqual([outboxStates(client), world.bob.storage.length], [[], 0]);
});

test("an action that exceeds the frame size is not sent", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  const uri = "f".repeat(40_000);
  client.send(uri, "Hello");
  const chat = client.chat(uri);
  await world.advance(MINUTE);
  const [message] = client.outbox.of(uri);
  assert.deepEqual([message?.state, message?.problem], ["refused", "This is too long to be sent."]);
  assert.equal(chat.state, "left");
  assert.deepEqual([world.server.sockets.length, client.connection.state], [1, "open"]);
});

test("a message that always fails is refused, and others are sent", async () => {
  const error = { type: "error", action: "send", status: 500, detail: "Something went wrong." };
  const responses: Record<string, (key: string) => object | undefined> = {
    "an error with its key": (key) => ({ ...error, uri: URI, key }),
    "an error without its key": () => error,
    "an error that names nothing": () => ({ ...error, action: null }),
    "a frame of the gateway": () => ({ message: "Internal server error", connectionId: "c=", requestId: "r=" }),
    "no response": () => undefined,
  };
  for (const [name, response] of Object.entries(responses)) {
    const world = new World();
    respondWith(world, response);
    const before = world.bob.client();
    await world.advance(100);
    const { key } = before.send(URI, "one");
    before.send(URI, "two");
    // A reload does not reset the count.
    await world.advance(MINUTE);
    before.close();
    const client = world.bob.client();
    await world.advance(5 * MINUTE);
    const [given] = client.outbox.of(URI);
    assert.deepEqual([given?.key, given?.state], [key, "refused"], name);
    assert.match(given?.problem ?? "", /^Sending this failed 16 times/);
    assert.deepEqual(postedMessages(world), ["two"], name);
    const attempts = () =>
      world.server.sockets.flatMap((socket) => socket.actionsOf("send")).filter(({ message }) => message === "one");
    // Every second `send` without a response may only cause a ping.
    const { length } = attempts();
    assert.ok(length >= 16 && length <= 2 * 17, `${name}: ${length}`);
    await world.advance(60 * MINUTE);
    assert.equal(attempts().length, length, name);
    // A retry uses the same key.
    respondWith(world, () => undefined);
    client.outbox.retry(key);
    await world.advance(100);
    assert.deepEqual([attempts().length, new Set(attempts().map((one) => one.key)).size], [length + 1, 1], name);
    assert.equal(client.outbox.of(URI)[0]?.state, "sending", name);
    client.close();
  }
});

test("a message that always closes the socket is refused", async () => {
  const world = new World();
  respondWith(world, () => {
    world.server.cut();
    return undefined;
  });
  const client = world.bob.client();
  await world.advance(100);
  client.send(URI, "one");
  client.send(URI, "two");
  await world.advance(10 * MINUTE);
  assert.deepEqual([postedMessages(world), outboxStates(client)], [["two"], ["one: refused"]]);
  const attempts = world.server.sockets
    .flatMap((socket) => socket.actionsOf("send"))
    .filter(({ message }) => message === "one");
  assert.equal(attempts.length, 16);
});

test("an error without key and uri is attributed to a single pending message only", async () => {
  const world = new World();
  world.server.createChat("000000000000002", world.bob.user);
  const client = world.bob.client();
  await world.advance(100);
  const unreadable = { type: "error", action: null, status: 400, detail: "A frame must be a JSON object." };
  client.send(URI, "one");
  client.send("000000000000002", "elsewhere");
  world.server.socket.receive(unreadable);
  assert.deepEqual(outboxStates(client), ["one: sending"]);
  await world.advance(100);
  client.send(URI, "two");
  world.server.socket.receive({ ...unreadable, uri: "000000000000002" });
  world.server.socket.receive({ ...unreadable, action: "read" });
  assert.deepEqual(outboxStates(client), ["two: sending"]);
  world.server.socket.receive(unreadable);
  assert.deepEqual(outboxStates(client), ["two: refused"]);
  // A later response corrects a wrong attribution.
  await world.advance(100);
  assert.deepEqual([postedMessages(world), outboxStates(client)], [["one", "two"], []]);
});

test("a reply to a deleted message can be sent without the reply", async () => {
  const world = new World();
  world.post(1);
  world.server.delete(URI, world.ann.user, 2);
  const client = world.bob.client();
  await world.advance(100);
  const { key } = client.send(URI, "An answer", 2);
  client.send(URI, "and more");
  await world.advance(100);
  const [lost] = client.outbox.of(URI);
  assert.deepEqual(
    [lost?.state, lost?.isReplyLost, lost?.problem],
    ["refused", true, "The message that this replies to was deleted."],
  );
  assert.deepEqual(postedMessages(world), ["and more"]);
  client.outbox.retry(key, { withoutReply: true });
  await world.advance(100);
  assert.deepEqual([postedMessages(world), outboxStates(client)], [["and more", "An answer"], []]);
  assert.equal(world.bob.storage.length, 0);
});
