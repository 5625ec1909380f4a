/** The client with a real server, at `CONFAB_URL` and `CONFAB_WEBSOCKET_URL`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { Api, type Chat, Client, type Environment } from "../src/index.js";
import { MemoryStorage, texts } from "./world.js";

const { CONFAB_URL: url = "http://127.0.0.1:8000", CONFAB_WEBSOCKET_URL: socketUrl = "ws://127.0.0.1:8000/ws" } =
  process.env;
const DEADLINE = 15_000;

/** Records the sockets, so that they can be closed. */
class Browser {
  readonly sockets: WebSocket[] = [];
  readonly environment: Partial<Environment>;

  constructor() {
    const { sockets } = this;
    class Socket extends WebSocket {
      constructor(address: string, protocols: string[]) {
        super(address, protocols);
        sockets.push(this);
      }
    }
    this.environment = { WebSocket: Socket as unknown as Environment["WebSocket"] };
  }

  cut(): void {
    for (const socket of this.sockets) socket.terminate();
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + DEADLINE;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `time-out: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function visitor(name: string) {
  const browser = new Browser();
  const storage = new MemoryStorage();
  const api = new Api({ url, environment: browser.environment });
  const username = `${name}-${crypto.randomUUID()}`;
  await api.register({ username, password: "Str0ng-pass-phrase" });
  await api.logIn(username, "Str0ng-pass-phrase");
  const me = await api.me();
  const open = () => new Client({ api, socketUrl, me, storage, environment: browser.environment });
  return { api, me, browser, storage, username, open };
}

test("two users chat and lose connections, and nothing is lost", async () => {
  const ann = await visitor("ann");
  const bob = await visitor("bob");
  const uri = await ann.api.createChat();
  await bob.api.join(uri, bob.username);
  const clients = [ann.open(), bob.open()];
  const chats = clients.map((client) => client.chat(uri)) as [Chat, Chat];
  await until(() => chats.every((chat) => chat.state === "live"));
  await until(() => chats.every((chat) => chat.timeline.online?.size === 2));
  assert.deepEqual(chats[0].timeline.members, [ann.me, bob.me]);

  chats[0].sendTyping();
  await until(() => chats[1].timeline.typing(performance.now()).length === 1);

  const sent: string[] = [];
  for (let n = 0; n < 40; n++) {
    for (const [who, client] of clients.entries()) client.send(uri, `${who} says ${n}`);
    sent.push(`0 says ${n}`, `1 says ${n}`);
    if (n % 8 === 3) ann.browser.cut();
    if (n % 8 === 7) bob.browser.cut();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await until(() => clients.every((client) => client.outbox.of(uri).length === 0));
  await until(() => chats.every((chat) => texts(chat).length === sent.length));
  const history = (await ann.api.history(uri)).messages.map(({ message }) => message);
  for (const chat of chats) assert.deepEqual(texts(chat), history);
  assert.deepEqual([...history].sort(), sent.sort());
  for (const who of [0, 1]) {
    const own = history.filter((text) => text.startsWith(`${who}`));
    assert.deepEqual(
      own,
      own.map((_, n) => `${who} says ${n}`),
    );
  }
  assert.ok(ann.browser.sockets.length > 3);

  chats[1].markRead();
  await until(() => chats[0].timeline.readMarkers.get(bob.me.id) === chats[0].lastId);

  clients[0]?.send(uri, "\0");
  await until(() => clients[0]?.outbox.of(uri)[0]?.state === "refused");
  assert.equal(clients[0]?.outbox.of(uri)[0]?.problem, "message: Null characters are not allowed.");

  await ann.api.removeMember(uri, bob.username);
  await until(() => chats[1].state === "left" && chats[0].timeline.members.length === 1);
  for (const client of clients) client.close();
});

test("after missing more than a frame can hold, the history is loaded", async () => {
  const ann = await visitor("ann");
  const uri = await ann.api.createChat();
  const text = "x".repeat(1990);
  for (let n = 1; n <= 90; n++) await ann.api.post(uri, `${n} ${text}`);
  const client = ann.open();
  let isRecovered: boolean | undefined;
  client.connection.on("frame", (frame) => {
    if (frame.type === "subscribed") isRecovered ??= frame.recovered;
  });
  const chat = client.chat(uri, { after: 2 });
  await until(() => chat.state === "live");
  assert.equal(isRecovered, false);
  assert.deepEqual(
    chat.timeline.messages.map(({ id }) => id),
    Array.from({ length: 88 }, (_, n) => n + 3),
  );
  assert.equal(await chat.loadOlder(), false);
  assert.deepEqual(chat.timeline.messages[0]?.message, `1 ${text}`);
  client.close();
});

test("a closed chat that is opened again is complete", async () => {
  const ann = await visitor("ann");
  const uri = await ann.api.createChat();
  const client = ann.open();
  for (let n = 0; n < 10; n++) {
    const chat = client.chat(uri);
    await until(() => chat.state === "live");
    client.send(uri, `${n}`);
    chat.close();
    const next = client.chat(uri);
    await until(() => next.state === "live" && texts(next).at(-1) === `${n}`);
    next.close();
  }
  client.close();
});

test("logging out ends the connection", async () => {
  const ann = await visitor("ann");
  const client = ann.open();
  await until(() => client.connection.state === "open");
  const { token } = ann.api;
  await ann.api.logOut();
  ann.api.token = token;
  await until(() => client.connection.state === "expired");
});
