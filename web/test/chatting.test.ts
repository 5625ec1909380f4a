/** Messages between several users, read receipts, typing indicators and presence. */

import assert from "node:assert/strict";
import { eventually, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible } from "./person.js";

test("messages arrive at once, and the user's own are marked", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);
  await expectVisible(anna.main.getByRole("heading").filter({ hasText: ben.name }));

  await anna.send("Hello Ben");
  await expectVisible(ben.message("Hello Ben"));
  await ben.send("Hello Anna\nhow are you?");
  await expectVisible(anna.messages.filter({ hasText: "Hello Anna" }));

  assert.equal(await anna.composer.inputValue(), "");
  await expectVisible(anna.log.getByRole("article", { name: /^You, / }).filter({ hasText: "Hello Ben" }));
  await expectVisible(
    ben.log.getByRole("article", { name: new RegExp(`^${anna.name}, `) }).filter({ hasText: "Hello Ben" }),
  );
  await expectVisible(ben.log.getByRole("article", { name: /^You, / }).filter({ hasText: "Hello Anna" }));
  for (const person of [anna, ben]) {
    assert.deepEqual(await person.shownTexts(["Hello Ben", "Hello Anna", "how are you?"]), [
      "Hello Ben",
      "Hello Anna",
      "how are you?",
    ]);
  }
});

test("messages are separated by day", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  const uri = await createChat(anna);
  for (const text of ["Monday morning", "Monday evening", "Tuesday"]) await anna.api.post(uri, text);
  const dates = ["2026-06-01T08:00:00Z", "2026-06-01T20:00:00Z", "2026-06-02T08:00:00Z"];
  await anna.page.route("**/messages?*", async (route) => {
    const response = await route.fetch();
    const history = await response.json();
    for (const [index, message] of history.messages.entries()) message.create_date = dates[index];
    await route.fulfill({ response, json: history });
  });
  await anna.visit(`#/chats/${uri}`);
  await anna.logIn();
  await expectVisible(anna.message("Tuesday"));
  const shown = await anna.log.innerText();
  const places = [
    /\b0?1(st)? June|June 0?1\b/,
    /Monday morning/,
    /Monday evening/,
    /\b0?2(nd)? June|June 0?2\b/,
    /Tuesday$/m,
  ].map((pattern) => shown.search(pattern));
  assert.ok(!places.includes(-1), shown);
  assert.deepEqual(
    places,
    [...places].sort((a, b) => a - b),
    shown,
  );
  assert.equal(shown.match(/\bJune\b/g)?.length, 2, shown);
});

test("read receipts show who has read the user's last message", async (fixture) => {
  const [anna, ben, cleo] = await Promise.all([fixture.person("anna"), fixture.person("ben"), fixture.person("cleo")]);
  const uri = await createChat(anna, ben, cleo);
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);
  await anna.send("Has anybody read this?");
  await expectVisible(anna.log.getByText(`Read by ${ben.name}`, { exact: true }));
  await cleo.openChat(uri);
  await expectVisible(anna.log.getByText(new RegExp(`Read by (${ben.name}, ${cleo.name}|${cleo.name}, ${ben.name})`)));
  await anna.send("And this?");
  await expectVisible(anna.message("And this?").locator("..").getByText("Read by"));
  await eventually(() => anna.log.getByText("Read by").count(), 1);
});

test("typing indicators are shown", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);
  await ben.composer.pressSequentially("Well");
  await expectVisible(anna.status(`${ben.name} is typing…`));
  await ben.composer.press("Enter");
  await expectVisible(anna.message("Well"));
  await expectHidden(anna.status("is typing"));
});

test("presence is shown", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(anna, ben);
  await anna.openChat(uri);
  await expectVisible(anna.main.getByText("1 online"));
  // Presence is published with a delay of five seconds.
  await ben.visitAndLogIn();
  await ben.openChat(uri);
  await expectVisible(anna.main.getByText("2 online"));
  await ben.page.close();
  await expectVisible(anna.main.getByText("1 online"));
});

test("the remaining characters are counted, and a longer message is not sent", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.openChat(uri);
  const composer = anna.page.getByRole("form", { name: "Write a message" });
  await anna.composer.fill("🦀".repeat(1_900));
  await expectVisible(composer.getByText(/\b100\b/));
  await anna.composer.fill("🦀".repeat(2_000));
  await anna.composer.press("Enter");
  await eventually(
    async () => (await anna.api.history(uri)).messages.map(({ message }) => message),
    ["🦀".repeat(2_000)],
  );
  await eventually(() => anna.composer.inputValue(), "");

  await anna.composer.fill("a".repeat(2_001));
  await anna.composer.press("Enter");
  assert.match(await anna.composer.inputValue(), /^a{2000,2001}$/);
});

test("at midnight, today becomes yesterday", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  const uri = await createChat(anna);
  await anna.api.post(uri, "Good night");
  await anna.page.route("**/messages?*", async (route) => {
    const response = await route.fetch();
    const history = await response.json();
    history.messages[0].create_date = "2026-06-01T23:50:00Z";
    await route.fulfill({ response, json: history });
  });
  await anna.page.clock.install({ time: "2026-06-01T23:55:00Z" });
  await anna.visitAndLogIn();
  await anna.openChat(uri);
  await expectVisible(anna.log.getByRole("heading", { name: "Today" }));
  await anna.page.clock.fastForward("10:00");
  await expectVisible(anna.log.getByRole("heading", { name: "Yesterday" }));
});

test("a chat shows that it is loading, and its errors can be dismissed", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  const uri = await createChat(anna);
  await anna.api.post(uri, "Hello");
  const release = await anna.holdRequests("**/messages?*");
  await anna.visit(`#/chats/${uri}`);
  await anna.logIn();
  await expectVisible(anna.log.getByText("Loading…"));
  release();
  await expectVisible(anna.message("Hello"));
  await expectHidden(anna.log.getByText("Loading…"));

  await anna.page.route("**/reactions/*", (route) => route.fulfill({ status: 503, json: {} }));
  const busy = anna.alert.filter({ hasText: "Confab is busy." });
  await anna.react("Hello", "👍");
  await expectVisible(busy);
  await anna.button("Dismiss").click();
  await expectHidden(busy);
  await anna.react("Hello", "👍");
  await expectVisible(busy);
  await anna.page.unroute("**/reactions/*");
  await anna.react("Hello", "👍");
  await expectVisible(anna.message("Hello").getByRole("button", { name: "👍 1" }));
  await expectHidden(busy);
});

test("a typing indicator does not render the messages again", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  const { id } = await anna.api.post(uri, "Hello");
  await ben.api.markRead(uri, id);
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);
  await expectVisible(anna.log.getByText("Read by"));
  await expectVisible(anna.main.getByText("2 online"));
  // The list calls this before it is rendered.
  await anna.log.evaluate((log) => {
    const ask = log.getBoundingClientRect.bind(log);
    log.getBoundingClientRect = () => {
      log.dataset.rendered = String(Number(log.dataset.rendered ?? 0) + 1);
      return ask();
    };
  });
  const rendered = () => anna.log.evaluate((log) => Number(log.dataset.rendered ?? 0));
  await ben.composer.pressSequentially("Well");
  await expectVisible(anna.status(`${ben.name} is typing…`));
  assert.equal(await rendered(), 0);
  await ben.composer.press("Enter");
  await expectVisible(anna.message("Well"));
  assert.ok((await rendered()) > 0);
});
