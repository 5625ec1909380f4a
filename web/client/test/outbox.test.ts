import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../src/index.js";
import { MemoryStorage, URI, World } from "./world.js";

const HOUR = 3600_000;

/** What Bob has said, as the log has it. */
function said(world: World): string[] {
  const messages = world.server.messages(URI, world.bob.user).filter(({ user }) => user.id === world.bob.user.id);
  return messages.map(({ message }) => message);
}

function states(client: Client): string[] {
  return client.outbox.of(URI).map(({ message, state }) => `${message}: ${state}`);
}

test("a message stays until it is sent, and is shown until the chat shows it", async () => {
  const world = new World();
  const client = world.bob.client();
  const chat = client.chat(URI);
  world.post(1);
  const added = client.send(URI, "Hello", 2);
  assert.equal(added.state, "queued");
  await world.advance(100);
  assert.deepEqual(said(world), ["Hello"]);
  assert.deepEqual(states(client), []);
  assert.equal(chat.timeline.messages.at(-1)?.reply_to, 2);
  assert.equal(world.bob.storage.length, 0);
  // The answer comes first, the entry later.
  const { key } = client.send(URI, "again");
  const sent: unknown[] = [];
  client.outbox.on("sent", (message) => sent.push(message.id));
  world.server.socket.receive({ type: "sent", uri: URI, id: 4, key, create_date: "" });
  assert.deepEqual(states(client), ["again: sent"]);
  assert.equal(world.bob.storage.length, 0);
  await world.advance(100);
  assert.deepEqual(states(client), []);
  assert.deepEqual(sent, [4]);
});

test("without a chat nothing is waited for", async () => {
  const world = new World();
  const client = world.bob.client();
  client.send(URI, "Hello");
  await world.advance(100);
  assert.deepEqual([said(world), states(client)], [["Hello"], []]);
});

test("what is written without a connection is sent when there is one, in order", async () => {
  const world = new World();
  world.server.weather.failures = 1;
  const client = world.bob.client();
  for (const text of ["one", "two", "three"]) client.send(URI, text);
  await world.advance(20_000);
  assert.deepEqual(states(client), ["one: queued", "two: queued", "three: queued"]);
  world.server.weather.failures = 0;
  await world.advance(30_000);
  assert.deepEqual(said(world), ["one", "two", "three"]);
  assert.deepEqual(states(client), []);
});

test("in a chat one message is under way at a time", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  client.send(URI, "one");
  client.send(URI, "two");
  assert.equal(world.server.socket.actionsOf("send").length, 1);
  await world.advance(100);
  assert.deepEqual(said(world), ["one", "two"]);
});

test("what is not answered is sent again with the same key", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  client.send(URI, "one");
  client.send(URI, "two");
  // The message arrives, the answer does not.
  await world.advance(10);
  world.server.cut();
  assert.deepEqual(said(world), ["one"]);
  await world.advance(1000);
  assert.deepEqual(said(world), ["one", "two"]);
  const keys = world.server.sockets.flatMap((socket) => socket.actionsOf("send").map(({ key }) => key));
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 2);
});

test("a lost answer on a socket that lives is missed after ten seconds", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  world.server.weather.loss = 1;
  client.send(URI, "one");
  await world.advance(5000);
  world.server.weather.loss = 0;
  assert.deepEqual(states(client), ["one: sending"]);
  await world.advance(6000);
  assert.deepEqual([said(world), states(client)], [["one"], []]);
  assert.equal(world.server.sockets.length, 1);
});

test("who sends too often waits as long as the server says", async () => {
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
  assert.deepEqual(said(world), ["one", "two"]);
  assert.deepEqual(
    socket.actionsOf("send").map(({ message }) => message),
    ["one", "one", "two"],
  );
});

test("a server that is busy, or fails, is asked again", async () => {
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
    assert.deepEqual(said(world), ["one"]);
  }
});

test("what is refused for good is reported, keeps nothing else waiting, and can be tried again or dropped", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  client.send(URI, "\0");
  const { key } = client.send("000000000000002", "nowhere");
  client.send(URI, "two");
  await world.advance(100);
  assert.deepEqual(said(world), ["two"]);
  const [refused] = client.outbox.of(URI);
  assert.deepEqual([refused?.state, refused?.problem], ["refused", "message: Null characters are not allowed."]);
  await world.advance(60_000);
  world.server.cut();
  await world.advance(60_000);
  const tries = world.server.sockets.flatMap((socket) => socket.actionsOf("send"));
  assert.equal(tries.length, 3);
  client.outbox.discard(refused?.key ?? "");
  assert.deepEqual(states(client), []);
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

test("only what is refused can be dropped or tried again", async () => {
  const world = new World();
  const client = world.bob.client();
  const { key } = client.send(URI, "one");
  client.outbox.discard(key);
  client.outbox.retry(key);
  client.outbox.discard("unknown");
  await world.advance(100);
  assert.deepEqual(said(world), ["one"]);
});

test("a reload loses nothing and doubles nothing", async () => {
  const world = new World();
  const before = world.bob.client();
  await world.advance(100);
  for (const text of ["one", "two", "\0", "three"]) before.send(URI, text);
  // The first message arrives, its answer does not.
  await world.advance(10);
  before.close();
  assert.equal(world.bob.storage.length, 4);
  const after = world.bob.client();
  assert.equal(after.outbox.of(URI).length, 4);
  await world.advance(1000);
  assert.deepEqual(said(world), ["one", "two", "three"]);
  assert.deepEqual(states(after), ["\0: refused"]);
  assert.deepEqual(states(world.bob.client()), ["\0: refused"]);
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
  assert.deepEqual(said(world).sort(), ["one", "two"]);
  assert.equal(world.bob.storage.length, 0);
});

test("what a window that is closed left unsent is sent by one that is open, as soon as there is a connection", async () => {
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
  assert.deepEqual(states(open), ["three: queued"]);
  const changes: string[] = [];
  open.outbox.on("change", (uri) => changes.push(uri));
  world.server.weather.failures = 0;
  await world.advance(60_000);
  assert.deepEqual(said(world), ["one", "two", "three"]);
  assert.deepEqual(states(open), []);
  assert.ok(changes.includes(URI));
  assert.equal(world.bob.storage.length, 0);
});

test("a message that is taken in again keeps the state that is known here", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  const { key } = client.send(URI, "\0");
  await world.advance(100);
  assert.deepEqual(states(client), ["\0: refused"]);
  const name = `confab.outbox.${world.bob.user.id}.${key}`;
  const stored = JSON.parse(world.bob.storage.getItem(name) ?? "");
  world.bob.storage.setItem(name, JSON.stringify({ ...stored, state: "sending" }));
  world.server.cut();
  await world.advance(60_000);
  assert.deepEqual(states(client), ["\0: refused"]);
});

test("what is not sent yet is known of all chats, and so is what was refused", async () => {
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

test("everybody has an outbox of their own", async () => {
  const world = new World();
  world.server.weather.failures = 1;
  world.bob.client().send(URI, "Bob's");
  const { storage } = world.bob;
  const ann = Object.assign(world.ann, { storage }).client();
  assert.deepEqual(ann.outbox.of(URI), []);
});

test("what may have been sent more than a day ago is not sent again unasked", async () => {
  const world = new World();
  const before = world.bob.client();
  await world.advance(100);
  world.server.weather.loss = 1;
  before.send(URI, "perhaps");
  await world.advance(0);
  before.close();
  await world.advance(20 * HOUR);
  // It is the first try that counts.
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
  assert.deepEqual(said(world), ["never tried"]);
  const [doubtful] = client.outbox.of(URI);
  assert.equal(doubtful?.state, "refused");
  client.outbox.retry(doubtful?.key ?? "");
  await world.advance(100);
  assert.deepEqual(said(world), ["never tried", "perhaps"]);
  assert.notEqual(world.server.socket.actionsOf("send").at(-1)?.key, doubtful?.key);
});

test("a storage that fails costs no more than the reload", async () => {
  const world = new World();
  class Full extends MemoryStorage {
    override setItem(): void {
      throw new Error("QuotaExceededError");
    }
  }
  const client = Object.assign(world.bob, { storage: new Full() }).client();
  client.send(URI, "one");
  await world.advance(100);
  assert.deepEqual(said(world), ["one"]);
  const garbled = new MemoryStorage();
  garbled.setItem("confab.outbox.2.x", "{");
  garbled.setItem("another page's", "{");
  assert.deepEqual(Object.assign(world.bob, { storage: garbled }).client().outbox.of(URI), []);
});

test("what is stored and no message is dropped, and keeps nothing else from being sent", async () => {
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
  assert.deepEqual(states(client), ["one: queued"]);
  await world.advance(100);
  assert.deepEqual(said(world), ["one"]);
  assert.equal(storage.length, 1);
});

test("a storage that is forbidden costs no more than the reload", async () => {
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
  assert.deepEqual(said(world), ["one"]);
});

test("nothing is sent with a token that is refused, and nothing is lost", async () => {
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
  assert.deepEqual([said(world), states(again)], [["one"], []]);
});

const MINUTE = 60_000;

test("a lone surrogate is replaced before sending, and in what is shown", async () => {
  const world = new World();
  const client = world.bob.client();
  assert.equal(client.send(URI, "cut off \ud83d").message, "cut off \ufffd");
  client.send(URI, "two");
  await world.advance(100);
  assert.deepEqual([said(world), states(client)], [["cut off \ufffd", "two"], []]);
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
  assert.deepEqual(said(world), ["🦀".repeat(2000)]);
  for (const { key } of client.outbox.of(URI)) client.outbox.retry(key);
  await world.advance(MINUTE);
  assert.equal(world.server.socket.actionsOf("send").length, 1);
  assert.equal(world.server.sockets.filter(({ state }) => state === "open").length, 1);
  for (const { key } of client.outbox.of(URI)) client.outbox.discard(key);
  assert.deepEqual([states(client), world.bob.storage.length], [[], 0]);
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
  assert.deepEqual(said(world), ["cut off \ufffd", "two"]);
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

/** Makes the server answer every `send`, except "two", with the same frame. */
function answering(world: World, answer: (key: string) => object | undefined): void {
  const { server } = world;
  server.onAction = (socket, action) => {
    if (action.action !== "send" || action.message === "two")
      return Object.getPrototypeOf(server).onAction.call(server, socket, action);
    const object = answer(action.key);
    if (object) server.later(() => socket.receive(object));
  };
}

test("a message that always fails is refused, and others are sent", async () => {
  const error = { type: "error", action: "send", status: 500, detail: "Something went wrong." };
  const answers: Record<string, (key: string) => object | undefined> = {
    "an error with its key": (key) => ({ ...error, uri: URI, key }),
    "an error without its key": () => error,
    "an error that names nothing": () => ({ ...error, action: null }),
    "what is no answer": () => ({ message: "Internal server error", connectionId: "c=", requestId: "r=" }),
    silence: () => undefined,
  };
  for (const [name, answer] of Object.entries(answers)) {
    const world = new World();
    answering(world, answer);
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
    assert.deepEqual(said(world), ["two"], name);
    const tries = () =>
      world.server.sockets.flatMap((socket) => socket.actionsOf("send")).filter(({ message }) => message === "one");
    // Every second unanswered send may only cause a ping.
    const { length } = tries();
    assert.ok(length >= 16 && length <= 2 * 17, `${name}: ${length}`);
    await world.advance(60 * MINUTE);
    assert.equal(tries().length, length, name);
    // A retry uses the same key.
    answering(world, () => undefined);
    client.outbox.retry(key);
    await world.advance(100);
    assert.deepEqual([tries().length, new Set(tries().map((one) => one.key)).size], [length + 1, 1], name);
    assert.equal(client.outbox.of(URI)[0]?.state, "sending", name);
    client.close();
  }
});

test("a message that always closes the socket is refused", async () => {
  const world = new World();
  answering(world, () => {
    world.server.cut();
    return undefined;
  });
  const client = world.bob.client();
  await world.advance(100);
  client.send(URI, "one");
  client.send(URI, "two");
  await world.advance(10 * MINUTE);
  assert.deepEqual([said(world), states(client)], [["two"], ["one: refused"]]);
  const tries = world.server.sockets
    .flatMap((socket) => socket.actionsOf("send"))
    .filter(({ message }) => message === "one");
  assert.equal(tries.length, 16);
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
  assert.deepEqual(states(client), ["one: sending"]);
  await world.advance(100);
  client.send(URI, "two");
  world.server.socket.receive({ ...unreadable, uri: "000000000000002" });
  world.server.socket.receive({ ...unreadable, action: "read" });
  assert.deepEqual(states(client), ["two: sending"]);
  world.server.socket.receive(unreadable);
  assert.deepEqual(states(client), ["two: refused"]);
  // A later answer corrects a wrong attribution.
  await world.advance(100);
  assert.deepEqual([said(world), states(client)], [["one", "two"], []]);
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
  assert.deepEqual(said(world), ["and more"]);
  client.outbox.retry(key, { withoutReply: true });
  await world.advance(100);
  assert.deepEqual([said(world), states(client)], [["and more", "An answer"], []]);
  assert.equal(world.bob.storage.length, 0);
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
    assert.deepEqual([said(world), states(client)], [[], ["perhaps: refused"]], `${days}`);
  }
});
