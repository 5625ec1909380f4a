import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Api, type ChatDetail, type Entry, type HistoryPage, Timeline } from "../src/index.js";
import { Person, URI, World } from "./world.js";

const EMOJI = ["👍", "❤️", "🎉"];

const anyStep = fc.record({
  what: fc.constantFrom("post", "post", "reply", "edit", "delete", "react", "react", "unreact", "join", "leave"),
  who: fc.nat(2),
  which: fc.nat(30),
  emoji: fc.constantFrom(...EMOJI),
  /** What the reader does after it. */
  reader: fc.constantFrom("nothing", "nothing", "repeat", "request older", "request latest", "receive"),
});
type Step = typeof anyStep extends fc.Arbitrary<infer Value> ? Value : never;

/** A chat with a third member who joins and leaves, and the HTTP API as Bob. */
class Scene extends World {
  readonly guest = new Person(this, "guest");
  readonly api = new Api({
    url: "https://chat.test",
    token: this.bob.token,
    environment: this.server.environment(Math.random),
  });

  run({ what, who, which, emoji }: Step): void {
    const { server, clock, ann, bob, guest } = this;
    clock.now += 1;
    const user = [ann, bob, guest][who]?.user ?? ann.user;
    const messages = server.messages(URI, user);
    const of = messages[which % messages.length]?.id ?? 1;
    if (what === "post") server.post(URI, user, `${server.lastId(URI) + 1}`);
    if (what === "reply") server.post(URI, user, `${server.lastId(URI) + 1}`, of);
    if (what === "edit") server.edit(URI, user, of, `${server.lastId(URI) + 1}`);
    if (what === "delete" && which % 3 === 0) server.delete(URI, user, of);
    if (what === "react") server.react(URI, user, of, emoji);
    if (what === "unreact") server.unreact(URI, user, of, emoji);
    if (what === "join") server.join(URI, guest.user);
    if (what === "leave") server.leave(URI, guest.user);
  }

  check(timeline: Timeline): void {
    assert.deepEqual(
      timeline.messages,
      this.server.messages(URI, this.bob.user).filter(({ id }) => id >= timeline.firstId),
    );
    assert.deepEqual(timeline.members, this.server.members(URI));
    assert.equal(timeline.owner, this.ann.user.id);
  }
}

test("any mix of history and entries has the same result as all entries", async () => {
  const steps = fc.array(anyStep, { maxLength: 60 });
  const property = fc.asyncProperty(steps, steps, fc.integer({ min: 1, max: 8 }), async (before, after, limit) => {
    const scene = new Scene();
    const { server, bob, api } = scene;
    const whole = new Timeline(bob.user.id, 1);
    whole.setDetail(await api.chat(URI));
    for (const step of before) scene.run(step);

    // The first page, then entries as they arrive, while responses of older pages arrive with a delay.
    const mixed = new Timeline(bob.user.id);
    const detail: ChatDetail = await api.chat(URI);
    let delayed: [HistoryPage, ChatDetail] | undefined;
    mixed.addHistory(await api.history(URI, { limit }));
    mixed.setDetail(detail);
    let lastId = detail.last_id;
    const listen = () => {
      for (const entry of server.entries(URI, lastId)) mixed.apply(entry);
      lastId = server.lastId(URI);
    };
    for (const step of after) {
      scene.run(step);
      if (step.which % 2 === 0) listen();
      if (step.reader === "repeat") {
        for (const entry of server.entries(URI).slice(step.who, Math.min(step.which, lastId))) mixed.apply(entry);
      }
      const before = mixed.firstId;
      if (step.reader === "request older" && before > 1) {
        delayed = [await api.history(URI, { before, limit }), await api.chat(URI)];
      }
      if (step.reader === "request latest") delayed = [await api.history(URI, { limit }), await api.chat(URI)];
      if (step.reader === "receive" && delayed) {
        mixed.addHistory(delayed[0]);
        mixed.setDetail(delayed[1]);
        delayed = undefined;
      }
    }
    listen();
    scene.check(mixed);

    for (const entry of server.entries(URI)) whole.apply(entry);
    scene.check(whole);
    while (mixed.firstId > 1) mixed.addHistory(await api.history(URI, { before: mixed.firstId, limit }));
    assert.deepEqual(mixed.messages, whole.messages);

    // Applying everything again changes nothing.
    for (const entry of server.entries(URI)) mixed.apply(entry);
    mixed.addHistory(await api.history(URI, { limit }));
    mixed.setDetail(await api.chat(URI));
    scene.check(mixed);
  });
  await fc.assert(property, { numRuns: 300 });
});

test("applying each entry when it is delivered has the same result", async () => {
  const property = fc.asyncProperty(fc.array(anyStep, { maxLength: 80 }), async (steps) => {
    const scene = new Scene();
    const timeline = new Timeline(scene.bob.user.id, 1);
    timeline.setDetail(await scene.api.chat(URI));
    for (const step of steps) {
      const lastId = scene.server.lastId(URI);
      scene.run(step);
      for (const entry of scene.server.entries(URI, lastId)) timeline.apply(entry);
      scene.check(timeline);
    }
  });
  await fc.assert(property, { numRuns: 200 });
});

test("unchanged messages are the same objects", () => {
  const { server, ann, bob } = new World();
  const timeline = new Timeline(bob.user.id, 1);
  const apply = () => {
    for (const entry of server.entries(URI)) timeline.apply(entry);
  };
  server.post(URI, ann.user, "one");
  server.post(URI, ann.user, "two", 2);
  apply();
  const { messages } = timeline;
  apply();
  assert.equal(timeline.messages, messages);
  server.react(URI, bob.user, 3, "👍");
  apply();
  assert.notEqual(timeline.messages, messages);
  assert.equal(timeline.messages[0], messages[0]);
  assert.deepEqual(timeline.messages[1]?.reactions, [{ emoji: "👍", count: 1, mine: true }]);
  assert.equal(timeline.message(timeline.messages[1]?.reply_to ?? 0), messages[0]);
});

test("an edit that is delivered after a deletion restores nothing", () => {
  const { server, ann, bob } = new World();
  server.post(URI, ann.user, "one");
  const timeline = new Timeline(bob.user.id, 1);
  for (const entry of server.entries(URI)) timeline.apply(entry);
  server.edit(URI, ann.user, 2, "two");
  server.delete(URI, ann.user, 2);
  const [edited] = server.entries(URI, 2);
  timeline.apply(edited as Entry);
  assert.deepEqual(timeline.messages, server.messages(URI, bob.user));
});

test("history without edits, replies and reactions is normalized", () => {
  const { ann, bob } = new World();
  const timeline = new Timeline(bob.user.id);
  const message = { id: 1, user: ann.user, message: "Hello", create_date: "2026-11-23T16:00:00.123456Z" };
  const page = { id: 1, uri: URI, last_id: 1, messages: [message], next: null, previous: null };
  timeline.addHistory(page as unknown as HistoryPage);
  assert.deepEqual(timeline.messages, [
    { ...message, edit_date: null, delete_date: null, reply_to: null, reactions: [] },
  ]);
});

test("an empty page of history continues before the searched range", () => {
  const { bob } = new World();
  const timeline = new Timeline(bob.user.id);
  const page = { id: 1, uri: URI, last_id: 6000, messages: [], next: null };
  timeline.addHistory({ ...page, previous: `http://127.0.0.1:8000/api/chats/${URI}/messages/?before=990&limit=100` });
  assert.equal(timeline.firstId, 990);
  timeline.addHistory({ ...page, previous: `/api/chats/${URI}/messages/?before=980&limit=100` });
  assert.equal(timeline.firstId, 980);
  timeline.addHistory({ ...page, previous: null });
  assert.equal(timeline.firstId, 1);
});

test("the owner can change, and former members are removed everywhere", () => {
  const { server, ann, bob } = new World();
  const timeline = new Timeline(ann.user.id, 1);
  for (const entry of server.entries(URI)) timeline.apply(entry);
  const fields = { uri: URI, create_date: "2026-11-23T16:00:00.123456Z" };
  timeline.apply({ ...fields, type: "joined", id: 2, user: ann.user });
  assert.equal(timeline.readMarkers.get(ann.user.id), 2, "a new member has read up to the join");
  timeline.setEphemeralState({ read: { 1: 1, 2: 1 }, online: [1, 2] });
  timeline.apply({ ...fields, type: "owner", id: 3, user: ann.user });
  assert.deepEqual(timeline.members, [ann.user, bob.user]);
  timeline.applyEvent({ type: "typing", uri: URI, user: bob.user }, 0);
  const left: Entry = { ...fields, type: "left", id: 4, user: bob.user };
  timeline.apply(left);
  assert.deepEqual([timeline.members, timeline.typing(1), [...timeline.readMarkers.keys()]], [[ann.user], [], [1]]);
  assert.deepEqual(timeline.online, new Set([1]));
  // Late events do not restore them.
  timeline.setEphemeralState({ read: { 1: 1, 2: 1 }, online: [1, 2] });
  timeline.applyEvent({ type: "online", uri: URI, user: bob.user }, 0);
  timeline.applyEvent({ type: "read", uri: URI, read: { [bob.user.id]: 3 } }, 0);
  assert.deepEqual([timeline.online, [...timeline.readMarkers.keys()]], [new Set([1]), [1]]);
});

test("null or absent presence and read markers are unknown", () => {
  const { ann, bob } = new World();
  const users = Array.from({ length: 100 }, (_, n) => ({ ...bob.user, id: n + 10, username: `user${n}` }));
  const chat = {
    id: 1,
    uri: URI,
    owner: ann.user,
    members: [ann.user, bob.user],
    last_id: 1,
    create_date: "",
    update_date: "",
  };
  for (const unknown of [{ read: null, online: null }, { read: null }, { online: null }, {}]) {
    const timeline = new Timeline(bob.user.id, 1);
    timeline.setDetail({ ...chat, read: { 1: 1, 2: 1 }, online: [1, 2] });
    assert.deepEqual([timeline.online, timeline.readMarkers.get(1)], [new Set([1, 2]), 1]);
    timeline.setEphemeralState(unknown);
    timeline.applyEvent({ type: "online", uri: URI, user: ann.user }, 0);
    assert.deepEqual([timeline.online, [...timeline.readMarkers]], [null, [[2, 1]]]);
    // The own marker works although the own user is not loaded.
    const pages = { members: users, member_count: 102, members_next: "/next" };
    timeline.setDetail({ ...chat, ...pages, last_id: 2, ...unknown });
    timeline.applyEvent({ type: "read", uri: URI, read: { [bob.user.id]: 7 } }, 0);
    assert.deepEqual([timeline.online, [...timeline.readMarkers]], [null, [[2, 7]]]);
    timeline.setDetail({ ...chat, last_id: 3, read: { 1: 4 }, online: [] });
    assert.deepEqual([timeline.online, timeline.readMarkers.get(1)], [new Set(), 4]);
  }
  // Presence becomes unknown with the 101st member.
  const timeline = new Timeline(bob.user.id, 1);
  timeline.setDetail({ ...chat, members: [ann.user, ...users.slice(1)], read: { 1: 1 }, online: [1] });
  const fields = { uri: URI, create_date: "2026-11-23T16:00:00.123456Z" };
  timeline.apply({ ...fields, type: "joined", id: 2, user: bob.user });
  assert.deepEqual([timeline.memberCount, timeline.online, timeline.readMarkers.get(1)], [101, null, undefined]);
});
