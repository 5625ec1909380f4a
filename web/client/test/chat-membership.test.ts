/** Chats: leaving, closing and opening again, and pages of members. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemberPage, User } from "../src/index.js";
import { openLiveChat, texts, URI, World } from "./world.js";

test("a removed member has left", async () => {
  const world = new World();
  const { client, chat } = await openLiveChat(world);
  world.server.leave(URI, world.bob.user);
  await world.advance(100);
  assert.deepEqual([chat.state, chat.problem], ["left", "You are not a member of this chat."]);
  world.server.cut();
  await world.advance(2000);
  assert.equal(world.server.socket.actionsOf("subscribe").length, 0);
  // After joining again, it is another object.
  world.server.join(URI, world.bob.user);
  const again = client.chat(URI);
  assert.notEqual(again, chat);
  await world.advance(100);
  assert.equal(again.state, "live");
});

test("a chat that does not exist, or without membership, reports the problem", async () => {
  const world = new World();
  world.server.createChat("000000000000001", world.ann.user);
  const client = world.bob.client();
  const [closed, missing] = [client.chat("000000000000001"), client.chat("000000000000002")];
  await world.advance(100);
  assert.deepEqual([closed.state, closed.problem], ["left", "You are not a member of this chat."]);
  assert.deepEqual([missing.state, missing.problem], ["left", "Not found."]);
});

test("a member who was removed while offline has left", async () => {
  const world = new World();
  const { chat } = await openLiveChat(world);
  world.server.cut();
  world.server.leave(URI, world.bob.user);
  await world.advance(2000);
  assert.deepEqual([chat.state, chat.problem], ["left", "You are not a member of this chat."]);
});

test("a chat that is closed and opened again at once is live", async () => {
  const world = new World();
  const { client, chat } = await openLiveChat(world);
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

test("a chat that is closed and opened again is live, in any order of the server's actions", async () => {
  const world = new World();
  const { client, chat } = await openLiveChat(world);
  chat.close();
  const again = client.chat(URI);
  await world.advance(100);
  const { socket } = world.server;
  const subscribed = socket.actionsOf("subscribe").length;
  // The server unsubscribes last.
  world.server.onAction(socket, { action: "unsubscribe", uri: URI });
  await world.advance(100);
  assert.equal(socket.actionsOf("subscribe").length, subscribed + 1);
  assert.deepEqual(world.server.online(URI), new Set([world.bob.user.id]));
  assert.equal(again.state, "live");
});

test("a chat that is closed before its first `subscribe` is sent sends nothing", async () => {
  const world = new World();
  const { client, chat } = await openLiveChat(world);
  client.connection.on("open", () => chat.close());
  world.server.cut();
  await world.advance(2000);
  assert.equal(chat.state, "closed");
  assert.deepEqual(world.server.socket.actions, []);
  assert.deepEqual(world.server.online(URI), new Set());
});

test("a chat that is closed before it subscribes again only unsubscribes", async () => {
  const world = new World();
  const { chat } = await openLiveChat(world);
  const { socket } = world.server;
  const { length } = socket.actions;
  // This makes it subscribe again.
  socket.receive({ type: "unsubscribed", uri: URI });
  chat.close();
  await world.advance(20_000);
  assert.deepEqual(socket.actions.slice(length), [{ action: "unsubscribe", uri: URI }]);
  assert.deepEqual(world.server.online(URI), new Set());
});

test("a replaced socket is closed when the last chat that it waits for is closed", async () => {
  const world = new World();
  const { client, chat } = await openLiveChat(world);
  client.connection.on("open", () => queueMicrotask(() => chat.close()));
  while (world.server.sockets.length === 1) await world.advance(1000);
  await world.advance(1000);
  const [first, next] = world.server.sockets;
  assert.deepEqual([first?.state, next?.state, next?.actions], ["closed", "open", []]);
});

test("a chat whose unsubscription had no response can be opened again", async () => {
  const world = new World();
  const { client, chat } = await openLiveChat(world);
  world.server.weather.loss = 1;
  chat.close();
  await world.advance(100);
  world.server.weather.loss = 0;
  const again = client.chat(URI);
  await world.advance(11_000);
  assert.equal(again.state, "live");
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
  const formerMember = users[12] as User;
  let respond = (_: MemberPage) => {};
  client.api.members = () =>
    new Promise((resolve) => {
      respond = resolve;
    });
  const more = chat.loadMoreMembers();
  // Meanwhile, the chat is loaded again.
  server.weather.recoverable = 0;
  server.cut();
  server.leave(URI, formerMember);
  world.post(2);
  await world.advance(1000);
  server.weather.recoverable = 1000;
  await world.advance(5000);
  assert.equal(chat.state, "live");
  respond({ members: [formerMember], next: null });
  assert.equal(await more, true);
  assert.deepEqual([chat.timeline.members.length, chat.timeline.memberCount], [10, 21]);
});
