/** Two or more people and a chat: everything that one does is seen by the others at once. */

import assert from "node:assert/strict";
import { chat, isInView, misses, sees } from "./person.js";
import { eventually, test } from "./stage.js";

test("messages arrive at once, and one's own are marked", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await Promise.all([anna.open(uri), ben.open(uri)]);
  await sees(anna.main.getByRole("heading").filter({ hasText: ben.name }));

  await anna.write("Hello Ben");
  await sees(ben.message("Hello Ben"));
  await ben.write("Hello Anna\nhow are you?");
  await sees(anna.messages.filter({ hasText: "Hello Anna" }));

  assert.equal(await anna.composer.inputValue(), "");
  await sees(anna.log.getByRole("article", { name: /^You, / }).filter({ hasText: "Hello Ben" }));
  await sees(ben.log.getByRole("article", { name: new RegExp(`^${anna.name}, `) }).filter({ hasText: "Hello Ben" }));
  await sees(ben.log.getByRole("article", { name: /^You, / }).filter({ hasText: "Hello Anna" }));
  for (const person of [anna, ben]) {
    assert.deepEqual(await person.said(["Hello Ben", "Hello Anna", "how are you?"]), [
      "Hello Ben",
      "Hello Anna",
      "how are you?",
    ]);
  }
});

test("a day is separated from the one before", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  const uri = await chat(anna);
  for (const text of ["Monday morning", "Monday evening", "Tuesday"]) await anna.api.post(uri, text);
  const dates = ["2026-06-01T08:00:00Z", "2026-06-01T20:00:00Z", "2026-06-02T08:00:00Z"];
  await anna.page.route("**/messages/*", async (route) => {
    const response = await route.fetch();
    const history = await response.json();
    for (const [index, message] of history.messages.entries()) message.create_date = dates[index];
    await route.fulfill({ response, json: history });
  });
  await anna.visit(`#/chats/${uri}`);
  await anna.logIn();
  await sees(anna.message("Tuesday"));
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

test("unread messages are counted, newest chat first, and reading clears the count on both sides", async (stage) => {
  const [anna, ben, cleo] = await Promise.all([stage.person("anna"), stage.person("ben"), stage.person("cleo")]);
  const withBen = await chat(anna, ben);
  const withCleo = await chat(anna, cleo);
  await cleo.api.post(withCleo, "From Cleo");
  await anna.list();
  await sees(anna.chatWith(cleo));
  await sees(anna.chatWith(ben));
  const order = () => anna.chats.getByRole("listitem").getByRole("link").allInnerTexts();
  const first = async () => ((await order())[0] ?? "").includes(ben.name);
  assert.equal(await first(), false);

  for (const text of ["One", "Two", "Three"]) await ben.api.post(withBen, text);
  await sees(anna.chatWith(ben).filter({ hasText: "Three" }));
  const unread = anna.chatWith(ben).getByText("3 unread").or(anna.chatWith(ben).getByLabel("3 unread"));
  await sees(unread);
  await eventually(first, true);

  await anna.chatWith(ben).click();
  await sees(anna.message("Three"));
  await misses(unread);
  await eventually(async () => (await anna.api.chats()).chats.map(({ unread }) => unread), [0, 1]);
  await ben.open(withBen);
  await sees(ben.log.getByText(`Read by ${anna.name}`));
});

test("one sees who has read what one wrote last", async (stage) => {
  const [anna, ben, cleo] = await Promise.all([stage.person("anna"), stage.person("ben"), stage.person("cleo")]);
  const uri = await chat(anna, ben, cleo);
  await Promise.all([anna.open(uri), ben.open(uri)]);
  await anna.write("Has anybody read this?");
  await sees(anna.log.getByText(`Read by ${ben.name}`, { exact: true }));
  await cleo.open(uri);
  await sees(anna.log.getByText(new RegExp(`Read by (${ben.name}, ${cleo.name}|${cleo.name}, ${ben.name})`)));
  await anna.write("And this?");
  await sees(anna.message("And this?").locator("..").getByText("Read by"));
  await eventually(() => anna.log.getByText("Read by").count(), 1);
});

test("one sees who is typing", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await Promise.all([anna.open(uri), ben.open(uri)]);
  await ben.composer.pressSequentially("Well");
  await sees(anna.status(`${ben.name} is typing…`));
  await ben.composer.press("Enter");
  await sees(anna.message("Well"));
  await misses(anna.status("is typing"));
});

test("one sees who is online", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.visitor("ben")]);
  await ben.register();
  const uri = await chat(anna, ben);
  await anna.open(uri);
  await sees(anna.main.getByText("1 online"));
  // Who comes and goes is told after five seconds.
  await ben.arrive();
  await ben.open(uri);
  await sees(anna.main.getByText("2 online"));
  await ben.page.close();
  await sees(anna.main.getByText("1 online"));
});

test("an edit is seen by the others, and Escape gives it up", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await anna.api.post(uri, "Helo");
  await Promise.all([anna.open(uri), ben.open(uri)]);
  await sees(ben.message("Helo"));
  assert.equal(await ben.message("Helo").getByRole("button", { name: "Edit" }).count(), 0);

  await anna.act("Helo", "Edit");
  await eventually(() => anna.composer.inputValue(), "Helo");
  await anna.composer.fill("Hello");
  await anna.button("Save").click();
  for (const person of [anna, ben]) {
    await sees(person.messages.filter({ hasText: "Hello" }).filter({ hasText: "(edited)" }));
    await misses(person.message("Helo"));
  }
  await eventually(() => anna.composer.inputValue(), "");

  await anna.act("Hello", "Edit");
  await anna.composer.fill("Something else");
  await anna.composer.press("Escape");
  await eventually(() => anna.composer.inputValue(), "");
  await sees(anna.button("Send"));
  assert.equal((await anna.api.history(uri)).messages[0]?.message, "Hello");
});

test("a message that is deleted leaves a tombstone; one is asked before", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await ben.api.post(uri, "I should not have said this");
  await anna.api.post(uri, "But you did");
  await Promise.all([anna.open(uri), ben.open(uri)]);

  await ben.act("I should not have said this", "Delete");
  await sees(ben.page.getByText("Delete this message?"));
  await ben.button("Keep").click();
  await misses(ben.page.getByText("Delete this message?"));
  await sees(ben.message("I should not have said this"));
  assert.equal(await ben.message("But you did").getByRole("button", { name: "Delete" }).count(), 0);

  await ben.act("I should not have said this", "Delete");
  await ben.page.getByRole("button", { name: "Delete", exact: true }).and(ben.page.locator("dialog *")).click();
  for (const person of [anna, ben]) {
    await sees(person.message("Message deleted"));
    await misses(person.message("I should not have said this"));
    await sees(person.message("But you did"));
  }
  assert.equal(await ben.message("Message deleted").getByRole("button", { name: "Edit" }).count(), 0);
});

test("the owner deletes what somebody else said", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await ben.api.post(uri, "Buy my shoes");
  await Promise.all([anna.open(uri), ben.open(uri)]);
  await anna.act("Buy my shoes", "Delete");
  await anna.page.getByRole("button", { name: "Delete", exact: true }).and(anna.page.locator("dialog *")).click();
  await sees(ben.message("Message deleted"));
});

test("a reply quotes, and its quote leads to the message", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await anna.api.post(uri, "Who brings the cake?");
  for (let n = 1; n <= 40; n++) await ben.api.post(uri, `Chatter ${n}`);
  await Promise.all([anna.open(uri), ben.open(uri)]);
  const question = (person: typeof ben) => person.messages.filter({ hasText: "Who brings the cake?" }).first();
  await sees(ben.message("Chatter 40"));

  await ben.act("Who brings the cake?", "Reply");
  await sees(ben.button("Cancel reply"));
  await ben.composer.press("Escape");
  await misses(ben.button("Cancel reply"));
  await ben.act("Who brings the cake?", "Reply");
  await ben.write("I do");
  await misses(ben.button("Cancel reply"));

  const reply = anna.message("I do");
  await sees(reply);
  await anna.message("Chatter 40").scrollIntoViewIfNeeded();
  await eventually(() => isInView(question(anna)), false);
  await reply.getByRole("button").filter({ hasText: "Who brings the cake?" }).click();
  await eventually(() => isInView(question(anna)), true);
});

test("reactions are put and taken back, and counted", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await anna.api.post(uri, "We won!");
  await Promise.all([anna.open(uri), ben.open(uri)]);

  await ben.react("We won!", "🎉");
  await sees(anna.message("We won!").getByRole("button", { name: "🎉 1", pressed: false }));
  await sees(ben.message("We won!").getByRole("button", { name: "🎉 1", pressed: true }));
  await anna.message("We won!").getByRole("button", { name: "🎉 1" }).click();
  for (const person of [anna, ben]) {
    await sees(person.message("We won!").getByRole("button", { name: "🎉 2", pressed: true }));
  }
  await ben.message("We won!").getByRole("button", { name: "🎉 2" }).click();
  await sees(anna.message("We won!").getByRole("button", { name: "🎉 1", pressed: true }));
  await sees(ben.message("We won!").getByRole("button", { name: "🎉 1", pressed: false }));

  await ben.act("We won!", "React");
  const other = ben.page.getByRole("group", { name: "Pick a reaction" }).getByLabel("Other emoji");
  await other.fill("🦀");
  await other.press("Enter");
  await sees(anna.message("We won!").getByRole("button", { name: "🦀 1" }));
});

test("the last characters that a message may have are counted, and more are not sent", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.open(uri);
  const composer = anna.page.getByRole("form", { name: "Write a message" });
  await anna.composer.fill("🦀".repeat(1_900));
  await sees(composer.getByText(/\b100\b/));
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

test("the list is live for more than 20 chats", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.visitor("ben")]);
  await ben.register();
  const oldest = await chat(ben, anna);
  for (let n = 1; n <= 25; n++) await anna.api.post(await chat(anna), `Note ${n}`);
  await anna.list();
  const links = anna.chats.getByRole("listitem").getByRole("link");
  await eventually(() => links.count(), 26);
  await misses(anna.button("Older chats"));
  await eventually(() => links.filter({ hasText: "Just you" }).count(), 25);
  await sees(anna.chatWith(ben).filter({ hasText: "No messages yet" }));
  await ben.api.post(oldest, "Is anybody listening?");
  await sees(anna.chatWith(ben).filter({ hasText: "Is anybody listening?" }).filter({ hasText: "1 unread" }));
  await eventually(async () => (await links.first().innerText()).includes(ben.name), true);
});

test("with more chats than a socket listens to, all stay in the list, and the oldest is as good as any", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.visitor("ben")]);
  await ben.register();
  const oldest = await chat(ben, anna);
  await ben.api.post(oldest, "Note 0");
  for (let n = 1; n <= 104; n++) await anna.api.post(await chat(anna), `Note ${n}`);
  await anna.list();
  const links = anna.chats.getByRole("listitem").getByRole("link");
  await eventually(() => links.count(), 80);
  await anna.button("Older chats").click();
  await misses(anna.button("Older chats"));
  await eventually(() => links.filter({ hasText: "Just you" }).count(), 104);
  await sees(anna.chatWith(ben).filter({ hasText: "Note 0" }).filter({ hasText: "1 unread" }));
  assert.equal(await links.count(), 105);

  await anna.chatWith(ben).click();
  await sees(anna.message("Note 0"));
  await misses(anna.chatWith(ben).filter({ hasText: "unread" }));
  await anna.write("I found it");
  await sees(anna.chatWith(ben).filter({ hasText: "You: I found it" }));
  await eventually(async () => (await links.first().innerText()).includes(ben.name), true);
  await links.filter({ hasText: "Note 50" }).click();
  await sees(anna.message("Note 50"));
  await ben.api.post(oldest, "Wonderful");
  await sees(anna.chatWith(ben).filter({ hasText: "Wonderful" }).filter({ hasText: "1 unread" }));
  assert.equal(await links.count(), 105);
});

test("a message that was deleted is not unread any more", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.visitor("ben")]);
  await ben.register();
  const uri = await chat(anna, ben);
  const before = await ben.api.post(uri, "Before");
  await ben.api.post(uri, "Stays");
  await anna.list();
  const unread = (count: number) => anna.chatWith(ben).filter({ hasText: `${count} unread` });
  await sees(unread(2));
  const live = await ben.api.post(uri, "Live");
  await ben.api.post(uri, "The end");
  await sees(unread(4));
  await ben.api.delete(uri, live.id);
  await sees(unread(3));
  await ben.api.delete(uri, before.id);
  await sees(unread(2));
});

test("at midnight, today becomes yesterday", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  const uri = await chat(anna);
  await anna.api.post(uri, "Good night");
  await anna.page.route("**/messages/*", async (route) => {
    const response = await route.fetch();
    const history = await response.json();
    history.messages[0].create_date = "2026-06-01T23:50:00Z";
    await route.fulfill({ response, json: history });
  });
  await anna.page.clock.install({ time: "2026-06-01T23:55:00Z" });
  await anna.arrive();
  await anna.open(uri);
  await sees(anna.log.getByRole("heading", { name: "Today" }));
  await anna.page.clock.fastForward("10:00");
  await sees(anna.log.getByRole("heading", { name: "Yesterday" }));
});

test("an edit that is saved late destroys nothing that was typed meanwhile", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.api.post(uri, "Helo");
  await anna.api.post(uri, "Another one");
  await anna.open(uri);
  const answer = await anna.holdBack("**/messages/*/");
  await anna.act("Helo", "Edit");
  await anna.composer.fill("Hello");
  const saved = anna.page.waitForResponse("**/messages/*/");
  await anna.button("Save").click();
  await anna.composer.fill("Hello, and more");
  answer();
  await saved;
  await sees(anna.messages.filter({ hasText: "Hello" }).filter({ hasText: "(edited)" }));
  assert.equal(await anna.composer.inputValue(), "Hello, and more");
  await anna.button("Save").click();
  await sees(anna.message("Hello, and more"));
  await eventually(() => anna.composer.inputValue(), "");
  await sees(anna.button("Send"));
});

test("what one was writing before an edit comes back after it", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.api.post(uri, "Helo");
  await anna.api.post(uri, "A question");
  await anna.open(uri);
  await anna.act("A question", "Reply");
  await anna.composer.fill("Half an ans");
  const isBack = async () => {
    await eventually(() => anna.composer.inputValue(), "Half an ans");
    await sees(anna.button("Cancel reply"));
    await sees(anna.button("Send"));
  };
  await anna.act("Helo", "Edit");
  await eventually(() => anna.composer.inputValue(), "Helo");
  await anna.composer.press("Escape");
  await isBack();
  await anna.act("Helo", "Edit");
  await anna.composer.fill("Hello");
  await anna.button("Save").click();
  await sees(anna.message("Hello"));
  await isBack();
});

test("a list of chats that could not be read can be tried again", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  await anna.api.post(await chat(anna), "A note");
  await anna.page.route("**/api/chats/?limit=*", (route) => route.fulfill({ status: 503, json: {} }));
  await anna.arrive();
  await sees(anna.alert.filter({ hasText: "Confab is busy." }));
  await anna.page.unroute("**/api/chats/?limit=*");
  await anna.button("Try again").click();
  await sees(anna.chats.getByRole("link").filter({ hasText: "A note" }));
  await misses(anna.alert);
});

test("a chat that is being opened says so, and what went wrong in it can be dismissed", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  const uri = await chat(anna);
  await anna.api.post(uri, "Hello");
  const answer = await anna.holdBack("**/messages/?*");
  await anna.visit(`#/chats/${uri}`);
  await anna.logIn();
  await sees(anna.log.getByText("Loading…"));
  answer();
  await sees(anna.message("Hello"));
  await misses(anna.log.getByText("Loading…"));

  await anna.page.route("**/reactions/*/", (route) => route.fulfill({ status: 503, json: {} }));
  const busy = anna.alert.filter({ hasText: "Confab is busy." });
  await anna.react("Hello", "👍");
  await sees(busy);
  await anna.button("Dismiss").click();
  await misses(busy);
  await anna.react("Hello", "👍");
  await sees(busy);
  await anna.page.unroute("**/reactions/*/");
  await anna.react("Hello", "👍");
  await sees(anna.message("Hello").getByRole("button", { name: "👍 1" }));
  await misses(busy);
});

test("a chat that is started slowly does not lead away from where one went meanwhile", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  const uri = await chat(anna);
  await anna.api.post(uri, "A note");
  await anna.arrive();
  const answer = await anna.holdBack("**/api/chats/");
  const links = anna.chats.getByRole("listitem").getByRole("link");
  await links.filter({ hasText: "A note" }).waitFor();
  await anna.button("New chat").click();
  await links.click();
  await sees(anna.message("A note"));
  answer();
  await eventually(() => links.count(), 2);
  await eventually(() => anna.button("New chat").isEnabled(), true);
  assert.ok(anna.page.url().endsWith(uri), anna.page.url());
});

test("that somebody is typing does not render the messages again", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  const { id } = await anna.api.post(uri, "Hello");
  await ben.api.markRead(uri, id);
  await Promise.all([anna.open(uri), ben.open(uri)]);
  await sees(anna.log.getByText("Read by"));
  await sees(anna.main.getByText("2 online"));
  // Before it is rendered, the list asks where it is.
  await anna.log.evaluate((log) => {
    const ask = log.getBoundingClientRect.bind(log);
    log.getBoundingClientRect = () => {
      log.dataset.rendered = String(Number(log.dataset.rendered ?? 0) + 1);
      return ask();
    };
  });
  const rendered = () => anna.log.evaluate((log) => Number(log.dataset.rendered ?? 0));
  await ben.composer.pressSequentially("Well");
  await sees(anna.status(`${ben.name} is typing…`));
  assert.equal(await rendered(), 0);
  await ben.composer.press("Enter");
  await sees(anna.message("Well"));
  assert.ok((await rendered()) > 0);
});
