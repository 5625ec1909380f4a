import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { createEnvironment } from "../src/environment.js";
import type { ConnectionState } from "../src/index.js";
import { texts, URI, World } from "./world.js";

const MINUTE = 60_000;

test("the token is sent as a subprotocol", async () => {
  const world = new World();
  const client = world.bob.client();
  assert.equal(client.connection.state, "connecting");
  await world.advance(10);
  assert.equal(client.connection.state, "open");
  assert.equal(world.server.socket.url, "wss://chat.test/ws");
  assert.deepEqual(world.server.socket.protocols, ["confab", "token.token-of-bob"]);
});

test("the backoff has full jitter, and doubles from 0.5 to 30 seconds", () => {
  const { environment } = { environment: new World().server.environment(() => 0.999_999) };
  const backoff = new Backoff(environment);
  const waits = Array.from({ length: 9 }, () => Math.round(backoff.next()));
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  backoff.reset();
  assert.equal(Math.round(backoff.next()), 500);
  assert.equal(new Backoff(new World().server.environment(() => 0)).next(), 0);
});

test("a socket that fails to open is retried with backoff", async () => {
  const world = new World();
  world.server.weather.failures = 1;
  const client = world.bob.client();
  const states: ConnectionState[] = [];
  client.connection.on("state", (state) => states.push(state));
  await world.advance(10 * MINUTE);
  const tries = world.server.sockets.length;
  assert.ok(tries > 15 && tries < 120, `${tries}`);
  assert.deepEqual(new Set(states), new Set(["waiting", "connecting"]));
  world.server.weather.failures = 0;
  await world.advance(MINUTE);
  assert.equal(client.connection.state, "open");
});

test("a lost socket is opened again, and subscribes from the last entry", async () => {
  const world = new World();
  const chat = world.bob.client().chat(URI);
  await world.advance(100);
  assert.equal(chat.state, "live");
  world.post(1);
  await world.advance(100);
  world.server.cut();
  assert.equal(chat.state, "behind");
  world.post(2);
  await world.advance(1000);
  assert.equal(chat.state, "live");
  assert.deepEqual(texts(chat), ["message 2", "message 3", "message 4"]);
  assert.deepEqual(world.server.socket.actionsOf("subscribe"), [{ action: "subscribe", uri: URI, after: 2 }]);
});

test("after a stable socket, the backoff starts again", async () => {
  const world = new World();
  const client = world.bob.client();
  world.server.weather.failures = 1;
  await world.advance(10 * MINUTE);
  world.server.weather.failures = 0;
  await world.advance(MINUTE);
  for (let n = 0; n < 20; n++) {
    world.server.cut();
    await world.advance(600);
    assert.equal(client.connection.state, "open");
    await world.advance(15_000);
  }
});

test("short-lived sockets are retried with backoff", async () => {
  const world = new World();
  const client = world.bob.client();
  client.connection.on("open", () => world.clock.after(1000, () => world.server.cut()));
  await world.advance(10 * MINUTE);
  assert.ok(world.server.sockets.length < 100, `${world.server.sockets.length}`);
});

test("a socket that neither opens nor fails times out", async () => {
  const world = new World();
  world.server.weather.latency = 10 * MINUTE;
  const client = world.bob.client();
  await world.advance(100);
  world.server.weather.latency = 10;
  await world.advance(14_000);
  assert.equal(client.connection.state, "connecting");
  await world.advance(2000);
  assert.equal(client.connection.state, "open");
  assert.equal(world.server.sockets.length, 2);
});

test("an idle socket is pinged every nine minutes, a busy one is not", async () => {
  const world = new World();
  world.bob.client().chat(URI);
  await world.advance(8 * MINUTE);
  world.post(1);
  await world.advance(8 * MINUTE);
  assert.equal(world.server.socket.actionsOf("ping").length, 0);
  await world.advance(74 * MINUTE);
  assert.equal(world.server.socket.actionsOf("ping").length, 9);
  assert.equal(world.server.sockets.length, 1);
});

test("a dead socket is detected and replaced", async () => {
  const world = new World();
  const chat = world.bob.client().chat(URI);
  await world.advance(100);
  world.server.socket.isDead = true;
  world.post(1);
  await world.advance(9 * MINUTE + 12_000);
  assert.equal(world.server.sockets.length, 2);
  assert.deepEqual(texts(chat), ["message 2"]);
});

test("a socket is replaced before two hours, and closed once the new one has caught up", async () => {
  const world = new World();
  const client = world.bob.client();
  const chat = client.chat(URI);
  const states: string[] = [];
  client.connection.on("state", (state) => states.push(state));
  chat.on("state", (state) => states.push(state));
  await world.advance(99 * MINUTE);
  assert.equal(world.server.sockets.length, 1);
  states.length = 0;
  world.server.weather.delay = 1000;
  let both = 0;
  for (let second = 0; second < 12 * 60; second++) {
    world.post(1);
    await world.advance(1000);
    const [first, next] = world.server.sockets;
    if (first?.state === "open" && next?.state === "open") both++;
    if (next && next.actionsOf("subscribe").length === 0) assert.equal(first?.state, "open");
  }
  await world.advance(2000);
  assert.equal(world.server.sockets.length, 2);
  assert.deepEqual(
    world.server.sockets.map(({ state }) => state),
    ["closed", "open"],
  );
  assert.ok(both > 0);
  assert.deepEqual(states, []);
  assert.equal(texts(chat).length, 12 * 60);
});

test("a replaced socket is closed even if the new one never catches up", async () => {
  const world = new World();
  const chat = world.bob.client().chat(URI);
  await world.advance(99 * MINUTE);
  world.server.weather.latency = 2000;
  while (world.server.sockets.length === 1) await world.advance(1000);
  world.server.weather.loss = 1;
  await world.advance(25_000);
  const [first, next] = world.server.sockets;
  assert.deepEqual([first?.state, next?.state], ["open", "open"]);
  assert.ok((next?.actionsOf("subscribe").length ?? 0) > 1);
  await world.advance(10_000);
  assert.equal(first?.state, "closed");
  world.server.weather.latency = 10;
  world.server.weather.loss = 0;
  await world.advance(11_000);
  assert.equal(chat.state, "live");
});

test("if the replacement fails to open, the old socket stays in use", async () => {
  const world = new World();
  const client = world.bob.client();
  const chat = client.chat(URI);
  await world.advance(99 * MINUTE);
  world.server.weather.failures = 1;
  await world.advance(15 * MINUTE);
  assert.equal(client.connection.state, "open");
  assert.equal(chat.state, "live");
  world.post(1);
  await world.advance(100);
  assert.equal(texts(chat).length, 1);
  world.server.cut();
  assert.notEqual(client.connection.state, "open");
  world.server.weather.failures = 0;
  await world.advance(MINUTE);
  assert.equal(chat.state, "live");
});

test("when the network is back, it reconnects at once, and pings an open socket", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  world.server.weather.failures = 1;
  world.server.cut();
  await world.advance(5 * MINUTE);
  while (client.connection.state !== "waiting") await world.advance(10);
  world.server.weather.failures = 0;
  world.bob.window.dispatchEvent(new Event("offline"));
  await world.advance(0);
  assert.equal(client.connection.state, "waiting");
  world.bob.window.dispatchEvent(new Event("online"));
  await world.advance(10);
  assert.equal(client.connection.state, "open");
  for (const type of ["online", "offline", "visibilitychange"]) world.bob.window.dispatchEvent(new Event(type));
  await world.advance(0);
  assert.equal(world.server.socket.actionsOf("ping").length, 3);
  world.server.socket.isDead = true;
  world.bob.window.dispatchEvent(new Event("online"));
  await world.advance(11_000);
  assert.equal(world.server.sockets.at(-2)?.isDead, true);
  assert.equal(client.connection.state, "open");
});

test("a rejected token ends the connection", async () => {
  const world = new World();
  const client = world.bob.client();
  const chat = client.chat(URI);
  await world.advance(100);
  world.server.tokens.delete(world.bob.token);
  world.server.cut();
  await world.advance(1000);
  assert.equal(client.connection.state, "expired");
  assert.equal(chat.state, "behind");
  const { length } = world.server.sockets;
  world.bob.window.dispatchEvent(new Event("online"));
  await world.advance(10 * MINUTE);
  assert.equal(world.server.sockets.length, length);
});

test("a rejected token over HTTP or the socket ends the connection", async () => {
  for (const channel of ["http", "socket"]) {
    const world = new World();
    const client = world.bob.client();
    await world.advance(100);
    world.server.tokens.delete(world.bob.token);
    if (channel === "http") await assert.rejects(client.api.me(), { status: 401 });
    else client.send(URI, "Hello");
    await world.advance(5000);
    assert.equal(client.connection.state, "expired");
  }
});

test("a socket that fails without closing is replaced", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  world.server.socket.onerror?.call(world.server.socket as unknown as WebSocket, {} as Event);
  await world.advance(1000);
  assert.equal(client.connection.state, "open");
  assert.equal(world.server.sockets.length, 2);
});

test("a socket that the server does not know is replaced", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  world.server.socket.receive({ type: "error", action: "read", status: 401, detail: "Invalid token." });
  await world.advance(1000);
  assert.equal(client.connection.state, "open");
  assert.equal(world.server.sockets.length, 2);
});

test("invalid frames are ignored", async () => {
  const world = new World();
  const chat = world.bob.client().chat(URI);
  await world.advance(100);
  const { socket } = world.server;
  for (const data of ["", "{", "null", "7", '{"message":"Internal server error","connectionId":"c="}\n']) {
    socket.onmessage?.call(socket as unknown as WebSocket, { data } as MessageEvent);
  }
  world.post(1);
  await world.advance(100);
  assert.equal(texts(chat).length, 1);
});

test("a closed connection stays closed", async () => {
  const world = new World();
  const client = world.bob.client();
  const chat = client.chat(URI);
  await world.advance(100);
  client.close();
  assert.deepEqual([client.connection.state, chat.state], ["closed", "closed"]);
  await world.advance(10 * MINUTE);
  world.bob.window.dispatchEvent(new Event("online"));
  assert.equal(world.server.sockets.length, 1);
  assert.equal(world.server.socket.state, "closed");
});

test("a listener that throws does not affect the others", async (t) => {
  const world = new World();
  const client = world.bob.client();
  const caught: unknown[] = [];
  t.mock.method(globalThis, "queueMicrotask", (run: () => void) => {
    try {
      run();
    } catch (error) {
      caught.push(error);
    }
  });
  const off = client.connection.on("open", () => {
    throw new Error("a fault of the page's");
  });
  const chat = client.chat(URI);
  await world.advance(100);
  assert.equal(chat.state, "live");
  assert.equal(caught.length, 1);
  off();
  world.server.cut();
  await world.advance(1000);
  assert.equal(caught.length, 1);
});

test("setting the clock does not affect pings, timers and typing indicators", async () => {
  for (const days of [-30, -1, -0.02, 0.02, 1, 30]) {
    const world = new World();
    const client = world.bob.client();
    const chat = client.chat(URI);
    const [first, ann] = [chat, world.ann.client().chat(URI)];
    await world.advance(1000);
    chat.sendTyping();
    await world.advance(1000);
    let timers = 0;
    const after = world.clock.after.bind(world.clock);
    world.clock.after = (milliseconds, run) => {
      timers++;
      assert.ok(milliseconds < 2 ** 31, `${milliseconds}`);
      return after(milliseconds, run);
    };
    world.clock.now += days * 24 * 60 * MINUTE;
    assert.equal(ann.timeline.typing(world.clock.elapsed).length, 1);
    await world.advance(10_000);
    assert.equal(ann.timeline.typing(world.clock.elapsed).length, 0);
    chat.sendTyping();
    const [socket] = world.server.sockets;
    assert.equal(socket?.actionsOf("typing").length, 2, `${days} days`);
    await world.advance(30 * MINUTE);
    assert.equal(socket?.actionsOf("ping").length, 3, `${days} days`);
    assert.ok(timers < 200, `${timers} timers`);
    assert.equal(first.state, "live");
    assert.equal(world.server.sockets.length, 2);
    socket.isDead = true;
    await world.advance(10 * MINUTE);
    assert.equal(world.server.sockets.length, 3, `${days} days`);
  }
});

test("a delay above 2^31 ms does not fire early", async (t) => {
  const { after, elapsed } = createEnvironment();
  const set: { milliseconds: number; run: () => void }[] = [];
  t.mock.method(globalThis, "setTimeout", (run: () => void, milliseconds: number) => set.push({ milliseconds, run }));
  t.mock.method(globalThis, "clearTimeout", () => set.splice(0));
  let isDue = false;
  const cancel = after(2 ** 33, () => {
    isDue = true;
  });
  let waited = 0;
  for (let timer = set.shift(); timer; timer = set.shift()) {
    assert.ok(timer.milliseconds < 2 ** 31 && !isDue);
    waited += timer.milliseconds;
    timer.run();
  }
  assert.deepEqual([waited, isDue], [2 ** 33, true]);
  after(2 ** 33, () => assert.fail("it was cancelled"));
  set.shift()?.run();
  cancel();
  assert.deepEqual(set, []);
  const moment = elapsed();
  assert.ok(elapsed() >= moment);
});

test("an error frame with an invalid retry_after is ignored", async () => {
  const world = new World();
  const client = world.bob.client();
  await world.advance(100);
  const { key } = client.send(URI, "one");
  for (const retry_after of ["soon", -5, null, {}]) {
    world.server.socket.receive({ type: "error", action: "send", status: 429, detail: "", uri: URI, key, retry_after });
  }
  await world.advance(100);
  assert.equal(world.server.socket.actionsOf("send").length, 1);
  assert.deepEqual(client.outbox.of(URI), []);
});
