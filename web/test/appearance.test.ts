/** The size of the scripts, the layout on phones, and reproducible screenshots of the main views. */

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { BrowserContextOptions } from "playwright-core";
import { phone, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible, type Person } from "./person.js";

const SCRIPT_BUDGET = 100_000;
const screenshots = resolve(process.env.SCREENSHOTS ?? fileURLToPath(new URL("../screenshots", import.meta.url)));

test("all scripts together stay below 100 KB, compressed", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  const uri = await createChat(anna);
  const scripts = new Map<string, Promise<Buffer>>();
  anna.page.on("response", (response) => {
    if (response.request().resourceType() === "script") scripts.set(response.url(), response.body());
  });
  await anna.visit();
  await anna.logIn();
  await anna.openChat(uri);
  await anna.button("Members").click();
  await expectVisible(anna.dialog("Members"));
  await anna.page.keyboard.press("Escape");
  await anna.button("Search").click();
  await expectVisible(anna.dialog("Search"));
  const sizes = await Promise.all([...scripts.values()].map(async (body) => gzipSync(await body).length));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(total > 0 && total < SCRIPT_BUDGET, `${total} bytes in ${[...scripts.keys()].join(", ")}`);
});

test("a phone shows the list or the chat, with a way back", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna", phone), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(anna, ben);
  await ben.api.post(uri, "Hello");
  await anna.reloadChatList();
  await anna.chatWith(ben).tap();
  await expectVisible(anna.message("Hello"));
  await expectHidden(anna.chats);
  await anna.page.getByRole("link", { name: "My chats" }).tap();
  await expectVisible(anna.chatWith(ben));
  await expectHidden(anna.composer);
});

test("a wide screen shows the list beside the chat", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.visitor("anna"), fixture.visitor("ben")]);
  await Promise.all([anna.register(), ben.register()]);
  const uri = await createChat(anna, ben);
  await anna.visitAndLogIn();
  await anna.openChat(uri);
  await expectVisible(anna.chatWith(ben));
  const [list, main] = await Promise.all([anna.chats.boundingBox(), anna.main.boundingBox()]);
  assert.ok(list && main && list.x + list.width <= main.x + 1, JSON.stringify([list, main]));
});

test("screenshots of the main views", async (fixture) => {
  const people: Person[] = [];
  // One after the other, since colours depend on the user ids.
  for (const name of ["Anna", "Ben", "Cleo", "Dora"]) {
    const person = await fixture.visitor(name.toLowerCase());
    await person.register();
    await person.api.updateMe({ first_name: name });
    people.push(person);
  }
  const [anna, ben, cleo, dora] = people as [Person, Person, Person, Person];
  await mkdir(screenshots, { recursive: true });

  const party = await createChat(anna, ben, cleo);
  const work = await createChat(dora, anna);
  const notes = await createChat(anna);
  const clock = new Map<string, string>();
  const say = async (who: Person, uri: string, time: string, text: string, replyTo?: number) => {
    clock.set(text, `2026-06-${time}:00Z`);
    return (await who.api.post(uri, text, replyTo ? { replyTo } : {})).id;
  };
  await say(anna, notes, "01T18:20", "Milk, bread, candles");
  await say(dora, work, "02T08:40", "The report is done.");
  await say(dora, work, "02T08:41", "Can you read it before noon?");
  const question = await say(ben, party, "01T19:02", "Who brings the cake on Saturday?");
  await say(cleo, party, "01T19:05", "I have an oven again, so I can bake one.");
  await say(anna, party, "01T19:06", "Wonderful! Chocolate, please.");
  const deleted = await say(cleo, party, "01T19:07", "Or was it Sunday?");
  await cleo.api.delete(party, deleted);
  const plan = await say(ben, party, "02T09:10", "I made a plan of who brings what: https://example.com/party");
  const lamps = await say(anna, party, "02T09:12", "Good. I bring the lamps and the long cable.");
  await cleo.api.post(party, "Then there will be light, music and a cake.", { replyTo: lamps });
  clock.set("Then there will be light, music and a cake.", "2026-06-02T09:15:00Z");
  await ben.api.react(party, plan, "👍");
  await cleo.api.react(party, plan, "👍");
  await anna.api.react(party, plan, "🎉");
  await anna.api.react(party, question, "👍");
  await ben.api.edit(party, question, "Who brings the cake on Saturday evening?");
  clock.set("Who brings the cake on Saturday evening?", "2026-06-01T19:02:00Z");
  const end = await say(anna, party, "02T09:16", "See you at six!");
  await ben.api.markRead(party, end);
  await cleo.api.markRead(party, end);
  await anna.api.markRead(party, end);

  await ben.visitAndLogIn();
  await ben.openChat(party);

  const show = async (options: BrowserContextOptions) => {
    const person = await fixture.secondBrowser(anna, options);
    await person.page.clock.setFixedTime("2026-06-02T09:20:00Z");
    await person.page.route(/\/api\/chats/, async (route) => {
      if (route.request().method() !== "GET") return route.continue();
      const response = await route.fetch();
      return route.fulfill({ response, json: withDates(await response.json(), clock) });
    });
    return person;
  };
  const keep = async (person: Person, name: string) => {
    await person.page.mouse.move(0, 0);
    await person.page.screenshot({
      path: join(screenshots, `${name}.png`),
      animations: "disabled",
      caret: "hide",
    });
  };

  const desk = { viewport: { width: 1100, height: 720 } };
  for (const [name, options] of [
    ["desk", desk],
    ["desk-dark", { ...desk, colorScheme: "dark" }],
    ["phone", phone],
    ["phone-dark", { ...phone, colorScheme: "dark" }],
  ] as const) {
    const person = await show(options);
    await person.visit();
    await person.page.getByRole("form", { name: "Log in" }).waitFor();
    await keep(person, `${name}-login`);
    await person.logIn();
    await person.visit("#/");
    for (const title of ["Ben, Cleo", "Dora", "Just you"])
      await expectVisible(person.chats.getByText(title, { exact: true }));
    await expectVisible(person.status("Connected"));
    await keep(person, `${name}-chats`);
    await person.openChat(party);
    await expectVisible(person.message("See you at six!"));
    await expectVisible(person.log.getByText("Read by"));
    await expectVisible(person.main.getByText("2 online"));
    if (name.startsWith("desk")) await expectVisible(person.chats.getByText("Ben, Cleo", { exact: true }));
    await keep(person, `${name}-chat`);
    await person.button("Members").click();
    await expectVisible(person.dialog("Members").getByRole("listitem").filter({ hasText: "Cleo" }));
    await keep(person, `${name}-members`);
    await person.page.context().close();
  }
});

/** A response with fixed dates: of each message by its text, and of each chat from its last message. */
function withDates(response: unknown, clock: ReadonlyMap<string, string>): unknown {
  const fallback = "2026-06-01T19:07:00Z";
  return JSON.parse(JSON.stringify(response), (_, value) => {
    if (typeof value !== "object" || value === null || !("create_date" in value)) return value;
    const text = "message" in value ? value.message : value.last_message?.message;
    const date = clock.get(text) ?? fallback;
    return { ...value, create_date: date, ...("update_date" in value && { update_date: date }) };
  });
}
