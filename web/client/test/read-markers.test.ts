/** Read markers: shown at once, sent at most once in five seconds, and never lost. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { openLiveChat, URI, World } from "./world.js";

/** Bob's and Ann's live chats, and the number of `read` actions that Bob has sent on all sockets. */
async function openChats(world: World) {
  const { client, chat } = await openLiveChat(world);
  const ann = (await openLiveChat(world, world.ann)).chat;
  const bob = world.bob.user;
  const sent = () =>
    world.server.sockets.filter(({ user }) => user?.id === bob.id).flatMap((socket) => socket.actionsOf("read"));
  return { client, chat, ann, bob, sent };
}

test("a read marker is in the timeline at once, and sent after five seconds", async () => {
  const world = new World();
  const { chat, ann, bob, sent } = await openChats(world);
  world.post(3);
  await world.advance(100);
  chat.markRead(2);
  assert.equal(chat.timeline.readMarkers.get(bob.id), 2);
  await world.advance(4900);
  assert.deepEqual(sent(), []);
  await world.advance(200);
  assert.deepEqual(sent(), [{ action: "read", uri: URI, id: 2 }]);
  assert.equal(ann.timeline.readMarkers.get(bob.id), 1);
  await world.advance(5100);
  assert.equal(ann.timeline.readMarkers.get(bob.id), 2);
  chat.markRead(1);
  await world.advance(20_000);
  assert.equal(sent().length, 1, "it moves forward only");
});

test("of many read markers within five seconds, the last one is sent", async () => {
  const world = new World();
  const { chat, ann, bob, sent } = await openChats(world);
  for (let second = 0; second < 10; second++) {
    world.post(1);
    await world.advance(1000);
    chat.markRead();
  }
  await world.advance(5100);
  assert.equal(sent().length, 2);
  assert.equal(world.server.readMarkers(URI).get(bob.id), chat.lastId);
  await world.advance(5100);
  assert.equal(ann.timeline.readMarkers.get(bob.id), chat.lastId);
});

test("without a connection, a read marker is sent later", async () => {
  const world = new World();
  const { chat, bob, sent } = await openChats(world);
  world.post(3);
  await world.advance(100);
  world.server.weather.failures = 1;
  world.server.cut(({ user }) => user?.id === bob.id);
  chat.markRead();
  await world.advance(20_000);
  assert.deepEqual(sent(), []);
  world.server.weather.failures = 0;
  await world.advance(60_000);
  assert.equal(world.server.readMarkers(URI).get(bob.id), 4);
  assert.equal(sent().length, 1);
});

test("a rejected read marker is sent again", async () => {
  const world = new World();
  const { chat, bob } = await openChats(world);
  world.post(3);
  await world.advance(100);
  chat.markRead();
  world.server.weather.busy = 1;
  await world.advance(6000);
  assert.equal(world.server.readMarkers(URI).get(bob.id), 1);
  world.server.weather.busy = 0;
  await world.advance(6000);
  assert.equal(world.server.readMarkers(URI).get(bob.id), 4);
});

test("a read marker is sent again if no response comes within twenty seconds", async () => {
  const world = new World();
  const { chat, bob, sent } = await openChats(world);
  world.post(3);
  await world.advance(100);
  world.server.weather.loss = 1;
  chat.markRead(3);
  await world.advance(5000);
  world.server.weather.loss = 0;
  await world.advance(19_000);
  assert.deepEqual([sent().length, world.server.readMarkers(URI).get(bob.id)], [1, 1]);
  await world.advance(2000);
  assert.deepEqual([sent().length, world.server.readMarkers(URI).get(bob.id)], [2, 3]);
  await world.advance(60_000);
  assert.equal(sent().length, 2, "the event is the response");
});

test("while the response is due, a read marker that moves is sent within five seconds", async () => {
  const world = new World();
  const { chat, sent } = await openChats(world);
  world.post(3);
  await world.advance(100);
  chat.markRead(2);
  await world.advance(5100);
  chat.markRead(3);
  await world.advance(5000);
  assert.deepEqual(
    sent().map(({ id }) => id),
    [2, 3],
  );
});

test("a waiting read marker is sent when the chat or the client closes, or the page is hidden", async () => {
  for (const end of ["chat", "client", "visibilitychange", "pagehide"]) {
    const world = new World();
    const { client, chat, bob, sent } = await openChats(world);
    world.post(3);
    await world.advance(100);
    chat.markRead();
    if (end === "chat") chat.close();
    else if (end === "client") client.close();
    else world.bob.window.dispatchEvent(new Event(end));
    assert.equal(sent().length, 1, end);
    await world.advance(20_000);
    assert.deepEqual([sent().length, world.server.readMarkers(URI).get(bob.id)], [1, 4], end);
  }
});

test("the event of another socket of the user moves the own marker", async () => {
  const world = new World();
  const { chat, bob, sent } = await openChats(world);
  world.post(3);
  await world.advance(100);
  world.server.socket.receive({ type: "read", uri: URI, read: { [bob.id]: 3 } });
  world.server.publish(URI, { type: "read", read: { [bob.id]: 3, [world.ann.user.id]: 4 } });
  await world.advance(100);
  assert.deepEqual(
    [...chat.timeline.readMarkers],
    [
      [1, 4],
      [2, 3],
    ],
  );
  chat.markRead(3);
  await world.advance(20_000);
  assert.deepEqual(sent(), [], "the server knows it");
});
