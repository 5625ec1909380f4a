/** Reconnecting with many chats: one `subscribe` frame for all of them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Chat, Client } from "../src/index.js";
import { URI, World } from "./world.js";

/** Bob with some live chats. */
async function openLiveChats(world: World, count: number): Promise<{ client: Client; chats: Chat[] }> {
  const uris = Array.from({ length: count }, (_, n) => n.toString(16).padStart(15, "0"));
  for (const uri of uris) world.server.createChat(uri, world.ann.user, world.bob.user);
  const client = world.bob.client();
  const chats = uris.map((uri) => client.chat(uri));
  await world.advance(100);
  assert.ok(chats.every(({ state }) => state === "live"));
  return { client, chats };
}

/** Loses the connection, lets something happen meanwhile, and waits until it is open again. */
async function reconnect(world: World, client: Client, meanwhile = () => {}): Promise<void> {
  world.server.cut();
  meanwhile();
  while (client.connection.state !== "open") await world.advance(1);
}

/** How many chats each `subscribe` frame of the last socket has. */
function frameSizes(world: World): number[] {
  return world.server.socket.actionsOf("subscribe").map((action) => ("chats" in action ? action.chats.length : 1));
}

/** A `subscribe` frame of several chats failed as a whole. */
function failFrame(world: World, status: number, retry?: { retry_after: number }): void {
  const { socket } = world.server;
  socket.receive({ type: "error", action: "subscribe", status, detail: "Try again in a moment.", ...retry });
}

test("after a reconnect, all chats subscribe in one frame", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 81);
  await reconnect(world, client, () => world.server.post(chats[7]?.uri ?? "", world.ann.user, "missed"));
  const { length } = world.server.requests;
  await world.advance(100);
  const expected = chats.map(({ uri }) => ({ uri, after: 1 }));
  assert.deepEqual(world.server.socket.actionsOf("subscribe"), [{ action: "subscribe", chats: expected }]);
  assert.ok(chats.every(({ state }) => state === "live"));
  assert.deepEqual(
    chats.map(({ lastId }) => lastId),
    chats.map((_, n) => (n === 7 ? 2 : 1)),
  );
  assert.equal(world.server.requests.length, length, "nothing is loaded over HTTP");
});

test("more than a hundred chats take more than one frame", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 130);
  await reconnect(world, client);
  await world.advance(100);
  assert.deepEqual(frameSizes(world), [100, 30]);
  assert.ok(chats.every(({ state }) => state === "live"));
});

test("a chat that is added later subscribes, and is among the others at the next reconnect", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 2);
  const later = client.chat(URI);
  await world.advance(100);
  assert.equal(later.state, "live");
  assert.deepEqual(world.server.socket.actionsOf("subscribe").at(-1), { action: "subscribe", uri: URI, after: 1 });
  chats[0]?.close();
  await reconnect(world, client);
  await world.advance(100);
  const uris = world.server.socket
    .actionsOf("subscribe")
    .map((action) => ("chats" in action ? action.chats.map(({ uri }) => uri) : []));
  assert.deepEqual(uris, [[chats[1]?.uri, URI]]);
});

test("what was not recovered is loaded over HTTP", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 4);
  world.server.weather.recoverable = 1;
  await reconnect(world, client, () => {
    for (const { uri } of chats) world.server.post(uri, world.ann.user, "missed");
  });
  await world.advance(5000);
  assert.deepEqual(
    chats.map(({ state, lastId }) => [state, lastId]),
    chats.map(() => ["live", 2]),
  );
});

test("a chat that the user has left does not affect the others", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 3);
  await reconnect(world, client, () => world.server.leave(chats[1]?.uri ?? "", world.bob.user));
  await world.advance(100);
  assert.deepEqual(
    chats.map(({ state }) => state),
    ["live", "left", "live"],
  );
  assert.equal(chats[1]?.problem, "You are not a member of this chat.");
});

test("read markers and presence that do not fit into the response are requested, and no history", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 2);
  world.server.leavesOutEphemeralState = true;
  const before = world.server.requests.length;
  await reconnect(world, client, () => world.server.post(chats[0]?.uri ?? "", world.ann.user, "missed"));
  await world.advance(1000);
  assert.deepEqual(
    chats.map(({ state, timeline }) => [state, timeline.online?.has(world.bob.user.id)]),
    [
      ["live", true],
      ["live", true],
    ],
  );
  assert.deepEqual(world.server.requests.slice(before).sort(), chats.map(({ uri }) => `GET /api/chats/${uri}`).sort());
});

test("if the frame fails as a whole, all its chats try again", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 3);
  world.server.weather.busy = 1;
  await reconnect(world, client);
  await world.advance(100);
  world.server.weather.busy = 0;
  assert.deepEqual(
    chats.map(({ state }) => state),
    ["behind", "behind", "behind"],
  );
  await world.advance(10_000);
  assert.deepEqual(
    chats.map(({ state }) => state),
    ["live", "live", "live"],
  );
});

test("while the server is overloaded, a frame that failed is sent again as one, ever more rarely", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 81);
  world.server.weather.busy = 1;
  await reconnect(world, client);
  await world.advance(60_000);
  world.server.weather.busy = 0;
  await world.advance(31_000);
  const sizes = frameSizes(world);
  assert.deepEqual(new Set(sizes), new Set([81]));
  assert.ok(sizes.length >= 4 && sizes.length <= 16, `${sizes.length} frames`);
  assert.ok(chats.every(({ state }) => state === "live"));
});

test("a frame that failed waits as long as the server says, and then recovers what was missed", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 3);
  await reconnect(world, client);
  failFrame(world, 429, { retry_after: 40 });
  // The fake server's own response.
  world.server.weather.loss = 1;
  await world.advance(100);
  world.server.weather.loss = 0;
  world.server.socket.uris.clear();
  world.server.post(chats[1]?.uri ?? "", world.ann.user, "missed");
  await world.advance(39_800);
  assert.deepEqual(frameSizes(world), [3]);
  await world.advance(1000);
  assert.deepEqual(frameSizes(world), [3, 3]);
  assert.deepEqual(
    chats.map(({ lastId }) => lastId),
    [1, 2, 1],
  );
  assert.ok(chats.every(({ state }) => state === "live"));
});

test("a frame that failed does not affect the chats of others in flight", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 150);
  await reconnect(world, client);
  world.server.weather.latency = 3000;
  assert.deepEqual(frameSizes(world), [100, 50]);
  failFrame(world, 500);
  await world.advance(2000);
  assert.deepEqual(frameSizes(world), [100, 50, 100]);
  const [first, , again] = world.server.socket.actionsOf("subscribe");
  assert.deepEqual(again, first);
  await world.advance(20_000);
  assert.deepEqual(frameSizes(world), [100, 50, 100]);
  assert.ok(chats.every(({ state }) => state === "live"));
});

test("a chat that is closed while its frame waits is not subscribed again", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 3);
  world.server.weather.busy = 1;
  await reconnect(world, client);
  await world.advance(100);
  world.server.weather.busy = 0;
  chats[1]?.close();
  await world.advance(10_000);
  const uris = [chats[0], chats[2]].map((chat) => ({ uri: chat?.uri, after: 1 }));
  assert.deepEqual(world.server.socket.actionsOf("subscribe").slice(1), [{ action: "subscribe", chats: uris }]);
});

test("after a failure, a reconnect subscribes at once, and the retry is dropped", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 3);
  world.server.weather.busy = 1;
  await reconnect(world, client);
  await world.advance(100);
  world.server.weather.busy = 0;
  await reconnect(world, client);
  await world.advance(60_000);
  assert.deepEqual(frameSizes(world), [3]);
  assert.ok(chats.every(({ state }) => state === "live"));
});

test("with a frame that fails permanently, its chats have left", async () => {
  const world = new World();
  const { client, chats } = await openLiveChats(world, 3);
  await reconnect(world, client);
  failFrame(world, 403);
  assert.deepEqual(
    chats.map(({ state }) => state),
    ["left", "left", "left"],
  );
});

test("with a server that does not know such frames, each chat subscribes on its own", async () => {
  const world = new World();
  world.server.knowsSubscriptions = false;
  const { client, chats } = await openLiveChats(world, 3);
  await reconnect(world, client);
  await world.advance(100);
  assert.deepEqual(
    chats.map(({ state }) => state),
    ["live", "live", "live"],
  );
});

test("a replaced socket stays open until all chats have caught up", async () => {
  const world = new World();
  await openLiveChats(world, 3);
  world.server.weather.latency = 2000;
  while (world.server.sockets.length === 1) await world.advance(1000);
  const [first, next] = world.server.sockets;
  while (next?.actionsOf("subscribe").length === 0) await world.advance(100);
  await world.advance(3000);
  assert.equal(first?.state, "open");
  await world.advance(5000);
  assert.deepEqual([first?.state, next?.state], ["closed", "open"]);
});
