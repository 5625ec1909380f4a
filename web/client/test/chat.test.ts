import assert from "node:assert/strict";
import { test } from "node:test";
import type { Chat, Client, MemberPage, User } from "../src/index.js";
import { type Person, texts, URI, World } from "./world.js";

/** A chat of Bob's that is live and knows all entries. */
async function live(world: World, person: Person = world.bob): Promise<{ client: Client; chat: Chat; ids: number[] }> {
  const client = person.client();
  const chat = client.chat(URI, { after: 0 });
  const ids: number[] = [];
  chat.on("entry", ({ id }) => ids.push(id));
  await world.advance(100);
  assert.equal(chat.state, "live");
  return { client, chat, ids };
}

test("it starts with the last messages, and reads older ones when asked", async () => {
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

test("it starts behind an entry, if that is wanted", async () => {
  const world = new World();
  world.post(5);
  const chat = world.bob.client().chat(URI, { after: 3 });
  await world.advance(100);
  assert.deepEqual(texts(chat), ["message 4", "message 5", "message 6"]);
  assert.deepEqual(chat.timeline.members, [world.ann.user, world.bob.user]);
  assert.equal(await chat.loadOlder(), false);
  assert.equal(texts(chat).length, 5);
});

test("what comes twice is taken once", async () => {
  const world = new World();
  const { chat, ids } = await live(world);
  world.server.weather.repeats = 1;
  world.post(3);
  await world.advance(1000);
  world.server.socket.receive(...world.server.entries(URI));
  assert.deepEqual(ids, [1, 2, 3, 4]);
  assert.equal(texts(chat).length, 3);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 1);
});

test("a frame holds several objects", async () => {
  const world = new World();
  const { client, ids } = await live(world);
  world.server.cut();
  world.post(3);
  const entries = world.server.entries(URI, 1);
  while (client.connection.state !== "open") await world.advance(1);
  world.server.socket.receive(...entries);
  assert.deepEqual(ids, [1, 2, 3, 4]);
});

test("what is beyond a hole waits until the hole is closed", async () => {
  const world = new World();
  const { chat, ids } = await live(world);
  world.server.weather.loss = 1;
  world.post(2);
  await world.advance(100);
  world.server.weather.loss = 0;
  world.post(2);
  // One hop, to the chat; another, and the entries go to the socket.
  await world.advance(20);
  assert.deepEqual(texts(chat), []);
  assert.deepEqual(world.server.socket.actionsOf("subscribe").slice(1), [{ action: "subscribe", uri: URI, after: 1 }]);
  await world.advance(100);
  assert.deepEqual(ids, [1, 2, 3, 4, 5]);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 2);
});

test("entries that come in another order are taken in the log's", async () => {
  const world = new World();
  const { ids } = await live(world);
  world.post(4);
  const [two, three, four, five] = world.server.entries(URI, 1);
  for (const entry of [three, five, two, four]) world.server.socket.receive(entry as object);
  assert.deepEqual(ids, [1, 2, 3, 4, 5]);
});

test("where there is still a hole after the answer, it asks again", async () => {
  const world = new World();
  const { chat, ids } = await live(world);
  const { socket } = world.server;
  world.post(6);
  const entries = world.server.entries(URI, 1);
  socket.receive(entries[1] as object);
  socket.receive(entries[4] as object);
  assert.equal(socket.actionsOf("subscribe").length, 2);
  // This answer was given before the entry 6 was written.
  const answer = { type: "subscribed", uri: URI, last_id: 3, recovered: true, entries: entries.slice(0, 2) };
  socket.receive(answer);
  assert.deepEqual(ids, [1, 2, 3]);
  assert.deepEqual(socket.actionsOf("subscribe").at(-1), { action: "subscribe", uri: URI, after: 3 });
  await world.advance(100);
  assert.deepEqual(ids, [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(chat.state, "live");
});

test("a hole that no answer closes is asked for at leisure", async () => {
  const world = new World();
  const { chat } = await live(world);
  const { socket } = world.server;
  socket.receive({ ...world.server.entries(URI)[0], id: 1000 });
  await world.advance(60_000);
  const asked = socket.actionsOf("subscribe").length;
  assert.ok(asked > 3 && asked < 40, `${asked}`);
  world.post(2);
  await world.advance(100);
  assert.equal(texts(chat).length, 2);
});

test("a subscription that is not answered is asked for again", async () => {
  const world = new World();
  world.server.weather.loss = 1;
  const chat = world.bob.client().chat(URI);
  await world.advance(9000);
  world.server.weather.loss = 0;
  assert.notEqual(chat.state, "live");
  await world.advance(2000);
  assert.equal(chat.state, "live");
});

test("a busy server is asked again when it said", async () => {
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

test("who missed too much reads the history, that of the messages they have too", async () => {
  const world = new World();
  world.server.weather.recoverable = 5;
  world.post(2);
  const { chat, ids } = await live(world);
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
  // And then it goes on.
  const known = ids.length;
  world.post(1);
  await world.advance(100);
  assert.deepEqual(ids.slice(known), [2508]);
});

test("who starts further back than an answer can tell reads the history", async () => {
  const world = new World();
  world.server.weather.recoverable = 5;
  world.post(20);
  const { chat, ids } = await live(world);
  assert.equal(texts(chat).length, 20);
  assert.deepEqual(ids, []);
  const requests = world.server.requests.length;
  world.post(1);
  await world.advance(1000);
  assert.deepEqual(ids, [22]);
  assert.equal(world.server.requests.length, requests);
});

test("who is told again and again that too much was missed does not read without end", async () => {
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

test("older messages that come when those after them have been forgotten are not taken", async () => {
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

test("what is said while the history is read is not lost", async () => {
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

test("a history that cannot be read is read later", async () => {
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

test("when there is a connection again the history is read at once", async () => {
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

test("an answer that comes while the history is read makes nothing live", async () => {
  const world = new World();
  const { chat } = await live(world);
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

test("a log that has become shorter is another one", async () => {
  const world = new World();
  world.post(9);
  const { chat } = await live(world);
  world.server.restore(URI, 4);
  world.server.cut();
  world.server.post(URI, world.ann.user, "another fifth");
  await world.advance(2000);
  assert.equal(chat.state, "live");
  assert.deepEqual(texts(chat), ["message 2", "message 3", "message 4", "another fifth"]);
  assert.equal(chat.lastId, 5);
});

test("an answer from long ago is no reason to read anything", async () => {
  const world = new World();
  world.post(9);
  const { chat } = await live(world);
  const { length } = world.server.requests;
  world.server.socket.receive({ type: "subscribed", uri: URI, last_id: 4, recovered: false, entries: [] });
  await world.advance(1000);
  assert.equal(world.server.requests.length, length);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 1);
  world.server.socket.receive({ type: "subscribed", uri: URI, last_id: 40, recovered: false, entries: [] });
  assert.equal(world.server.socket.actionsOf("subscribe").length, 2);
  assert.equal(texts(chat).length, 9);
});

test("who is removed has left", async () => {
  const world = new World();
  const { client, chat } = await live(world);
  world.server.leave(URI, world.bob.user);
  await world.advance(100);
  assert.deepEqual([chat.state, chat.problem], ["left", "You are not a member of this chat."]);
  world.server.cut();
  await world.advance(2000);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 0);
  // Back in, it is another chat.
  world.server.join(URI, world.bob.user);
  const again = client.chat(URI);
  assert.notEqual(again, chat);
  await world.advance(100);
  assert.equal(again.state, "live");
});

test("a chat that one is not in, or that is not there, says so", async () => {
  const world = new World();
  world.server.createChat("000000000000001", world.ann.user);
  const client = world.bob.client();
  const [closed, missing] = [client.chat("000000000000001"), client.chat("000000000000002")];
  await world.advance(100);
  assert.deepEqual([closed.state, closed.problem], ["left", "You are not a member of this chat."]);
  assert.deepEqual([missing.state, missing.problem], ["left", "Not found."]);
});

test("who was removed while away has left", async () => {
  const world = new World();
  const { chat } = await live(world);
  world.server.cut();
  world.server.leave(URI, world.bob.user);
  await world.advance(2000);
  assert.deepEqual([chat.state, chat.problem], ["left", "You are not a member of this chat."]);
});

test("a chat that is closed and opened again at once is live", async () => {
  const world = new World();
  const { client, chat } = await live(world);
  world.server.weather.delay = 50;
  assert.equal(client.chat(URI), chat);
  chat.close();
  const again = client.chat(URI);
  assert.notEqual(again, chat);
  await world.advance(2000);
  assert.deepEqual([chat.state, again.state], ["closed", "live"]);
  world.post(1);
  await world.advance(1000);
  assert.equal(texts(again).length, 1);
  assert.equal(texts(chat).length, 0);
  again.close();
  await world.advance(1000);
  assert.deepEqual(world.server.online(URI), new Set());
});

test("a chat that is closed and opened again is live, in whatever order the server does that", async () => {
  const world = new World();
  const { client, chat } = await live(world);
  chat.close();
  const again = client.chat(URI);
  await world.advance(100);
  const { socket } = world.server;
  const subscribed = socket.actionsOf("subscribe").length;
  // The end of the subscription comes last.
  world.server.onAction(socket, { action: "unsubscribe", uri: URI });
  await world.advance(100);
  assert.equal(socket.actionsOf("subscribe").length, subscribed + 1);
  assert.deepEqual(world.server.online(URI), new Set([world.bob.user.id]));
  assert.equal(again.state, "live");
});

test("a chat whose end was not answered can be opened again", async () => {
  const world = new World();
  const { client, chat } = await live(world);
  world.server.weather.loss = 1;
  chat.close();
  await world.advance(100);
  world.server.weather.loss = 0;
  const again = client.chat(URI);
  await world.advance(11_000);
  assert.equal(again.state, "live");
});

test("read markers move, and are told when there is a connection again", async () => {
  const world = new World();
  const { chat } = await live(world);
  const ann = (await live(world, world.ann)).chat;
  world.post(3);
  await world.advance(100);
  assert.equal(ann.timeline.readMarkers.get(world.bob.user.id), 1);
  chat.markRead(2);
  await world.advance(100);
  assert.equal(ann.timeline.readMarkers.get(world.bob.user.id), 2);
  assert.equal(chat.timeline.readMarkers.get(world.bob.user.id), 2);
  chat.markRead(1);
  assert.equal(world.server.sockets[0]?.actionsOf("read").length, 1);
  world.server.cut();
  chat.markRead();
  await world.advance(2000);
  assert.equal(world.server.readMarkers(URI).get(world.bob.user.id), 4);
  assert.equal(ann.timeline.readMarkers.get(world.bob.user.id), 4);
});

test("typing is told now and then, and passes", async () => {
  const world = new World();
  const { chat } = await live(world);
  const ann = (await live(world, world.ann)).chat;
  let changes = 0;
  for (let key = 0; key < 10; key++) {
    chat.sendTyping();
    await world.advance(400);
  }
  assert.equal(world.server.sockets[0]?.actionsOf("typing").length, 2);
  assert.deepEqual(ann.timeline.typing(world.clock.elapsed), [world.bob.user]);
  assert.deepEqual(chat.timeline.typing(world.clock.elapsed), []);
  ann.on("change", () => changes++);
  await world.advance(7000);
  assert.ok(changes > 0);
  assert.deepEqual(ann.timeline.typing(world.clock.elapsed), []);
  chat.sendTyping();
  await world.advance(100);
  assert.equal(ann.timeline.typing(world.clock.elapsed).length, 1);
  world.server.post(URI, world.bob.user, "said it");
  await world.advance(100);
  assert.deepEqual(ann.timeline.typing(world.clock.elapsed), []);
});

test("who listens is known", async () => {
  const world = new World();
  const { chat } = await live(world);
  assert.deepEqual(chat.timeline.online, new Set([2]));
  const { client } = await live(world, world.ann);
  await world.advance(5000);
  assert.deepEqual(chat.timeline.online, new Set([1, 2]));
  client.close();
  await world.advance(6000);
  assert.deepEqual(chat.timeline.online, new Set([2]));
});

test("what other programs publish is handed on, whatever it is", async () => {
  const world = new World();
  const { chat } = await live(world);
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

test("an entry of a kind that is not known yet is counted all the same", async () => {
  const world = new World();
  const { chat } = await live(world);
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

test("a change is told once for all that came together", async () => {
  const world = new World();
  const { chat } = await live(world);
  let changes = 0;
  chat.on("change", () => changes++);
  world.server.cut();
  world.post(500);
  await world.advance(2000);
  assert.equal(texts(chat).length, 500);
  assert.equal(changes, 1);
});

test("what is published under a name of the protocol, and is something else, harms nobody", async () => {
  const world = new World();
  const client = world.bob.client();
  const chat = client.chat(URI);
  const faults: unknown[] = [];
  const note = (fault: unknown) => faults.push(fault);
  process.on("uncaughtException", note);
  try {
    await world.advance(100);
    const heard: unknown[] = [];
    client.connection.on("frame", (frame) => heard.push(frame.type));
    const happening = { id: chat.lastId + 1, user: world.ann.user, create_date: "2026-11-23T16:00:00.000000Z" };
    const types = ["message", "edited", "deleted", "reacted", "unreacted", "joined", "left", "owner"];
    for (const type of [...types, "read", "typing", "online", "offline", "subscribed"]) {
      world.server.publish(URI, { type });
      world.server.publish(URI, { type, ...happening, user: null });
      world.server.publish(URI, { type, ...happening, id: "next", of: "first", read_id: "last" });
      world.server.publish(URI, {
        type,
        ...happening,
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
    assert.ok(heard.length > 0);
    world.post(1);
    await world.advance(10_000);
    assert.equal(chat.state, "live");
    assert.equal(texts(chat).at(-1), `message ${world.server.lastId(URI)}`);
    assert.deepEqual(faults, []);
  } finally {
    process.off("uncaughtException", note);
  }
});

test("members are loaded by page, with joins and leaves meanwhile", async () => {
  const world = new World();
  const { server } = world;
  Object.assign(server, { memberPageSize: 10, maxMembersWithPresence: 10 });
  const users = Array.from({ length: 30 }, (_, n) => server.register(`user${n}`).user);
  for (const user of users) server.join(URI, user);
  const chat = world.bob.client().chat(URI);
  await world.advance(100);
  const { timeline } = chat;
  const count = () => [timeline.members.length, timeline.memberCount];
  assert.equal(chat.state, "live");
  assert.deepEqual([count(), timeline.online, [...timeline.readMarkers.values()]], [[10, 32], null, []]);
  // One on a loaded page, one on another page, one on the requested page.
  server.leave(URI, users[0] as User);
  server.leave(URI, users[29] as User);
  await world.advance(100);
  assert.deepEqual(count(), [9, 30]);
  server.weather.delay = 1000;
  const more = chat.loadMoreMembers();
  assert.equal(chat.loadMoreMembers(), more);
  await world.advance(1);
  server.weather.delay = 0;
  server.leave(URI, users[10] as User);
  server.join(URI, users[0] as User);
  await world.advance(3000);
  assert.equal(await more, true);
  assert.deepEqual(count()[1], 30);
  while (await chat.loadMoreMembers());
  const ids = (members: readonly User[]) => members.map(({ id }) => id).sort((a, b) => a - b);
  assert.deepEqual([ids(timeline.members), timeline.memberCount], [ids(server.members(URI)), 30]);
  assert.equal(await chat.loadMoreMembers(), false);
});

test("a page of members that was requested before a full reload is ignored", async () => {
  const world = new World();
  const { server } = world;
  Object.assign(server, { memberPageSize: 10 });
  const users = Array.from({ length: 20 }, (_, n) => server.register(`user${n}`).user);
  for (const user of users) server.join(URI, user);
  const client = world.bob.client();
  const chat = client.chat(URI);
  await world.advance(100);
  const gone = users[12] as User;
  let answer = (_: MemberPage) => {};
  client.api.members = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  const more = chat.loadMoreMembers();
  // Meanwhile the chat is read anew.
  server.weather.recoverable = 0;
  server.cut();
  server.leave(URI, gone);
  world.post(2);
  await world.advance(1000);
  server.weather.recoverable = 1000;
  await world.advance(5000);
  assert.equal(chat.state, "live");
  answer({ members: [gone], next: null });
  assert.equal(await more, true);
  assert.deepEqual([chat.timeline.members.length, chat.timeline.memberCount], [10, 21]);
});
