/** Editing, deleting, replying and reacting. */

import assert from "node:assert/strict";
import { eventually, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible, isInView } from "./person.js";

test("an edit is shown to others, and Escape cancels it", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await anna.api.post(uri, "Helo");
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);
  await expectVisible(ben.message("Helo"));
  assert.equal(await ben.message("Helo").getByRole("button", { name: "Edit" }).count(), 0);

  await anna.runAction("Helo", "Edit");
  await eventually(() => anna.composer.inputValue(), "Helo");
  await anna.composer.fill("Hello");
  await anna.button("Save").click();
  for (const person of [anna, ben]) {
    await expectVisible(person.messages.filter({ hasText: "Hello" }).filter({ hasText: "(edited)" }));
    await expectHidden(person.message("Helo"));
  }
  await eventually(() => anna.composer.inputValue(), "");

  await anna.runAction("Hello", "Edit");
  await anna.composer.fill("Something else");
  await anna.composer.press("Escape");
  await eventually(() => anna.composer.inputValue(), "");
  await expectVisible(anna.button("Send"));
  assert.equal((await anna.api.history(uri)).messages[0]?.message, "Hello");
});

test("a deleted message leaves a tombstone; deleting requires confirmation", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await ben.api.post(uri, "I should not have said this");
  await anna.api.post(uri, "But you did");
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);

  await ben.runAction("I should not have said this", "Delete");
  await expectVisible(ben.page.getByText("Delete this message?"));
  await ben.button("Keep").click();
  await expectHidden(ben.page.getByText("Delete this message?"));
  await expectVisible(ben.message("I should not have said this"));
  assert.equal(await ben.message("But you did").getByRole("button", { name: "Delete" }).count(), 0);

  await ben.runAction("I should not have said this", "Delete");
  await ben.page.getByRole("button", { name: "Delete", exact: true }).and(ben.page.locator("dialog *")).click();
  for (const person of [anna, ben]) {
    await expectVisible(person.message("Message deleted"));
    await expectHidden(person.message("I should not have said this"));
    await expectVisible(person.message("But you did"));
  }
  assert.equal(await ben.message("Message deleted").getByRole("button", { name: "Edit" }).count(), 0);
});

test("the owner deletes a message of another member", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await ben.api.post(uri, "Buy my shoes");
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);
  await anna.runAction("Buy my shoes", "Delete");
  await anna.page.getByRole("button", { name: "Delete", exact: true }).and(anna.page.locator("dialog *")).click();
  await expectVisible(ben.message("Message deleted"));
});

test("a reply quotes its message, and the quote leads to it", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await anna.api.post(uri, "Who brings the cake?");
  for (let n = 1; n <= 40; n++) await ben.api.post(uri, `Chatter ${n}`);
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);
  const question = (person: typeof ben) => person.messages.filter({ hasText: "Who brings the cake?" }).first();
  await expectVisible(ben.message("Chatter 40"));

  await ben.runAction("Who brings the cake?", "Reply");
  await expectVisible(ben.button("Cancel reply"));
  await ben.composer.press("Escape");
  await expectHidden(ben.button("Cancel reply"));
  await ben.runAction("Who brings the cake?", "Reply");
  await ben.send("I do");
  await expectHidden(ben.button("Cancel reply"));

  const reply = anna.message("I do");
  await expectVisible(reply);
  await anna.message("Chatter 40").scrollIntoViewIfNeeded();
  await eventually(() => isInView(question(anna)), false);
  await reply.getByRole("button").filter({ hasText: "Who brings the cake?" }).click();
  await eventually(() => isInView(question(anna)), true);
});

test("reactions are added, removed and counted", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await anna.api.post(uri, "We won!");
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);

  await ben.react("We won!", "🎉");
  await expectVisible(anna.message("We won!").getByRole("button", { name: "🎉 1", pressed: false }));
  await expectVisible(ben.message("We won!").getByRole("button", { name: "🎉 1", pressed: true }));
  await anna.message("We won!").getByRole("button", { name: "🎉 1" }).click();
  for (const person of [anna, ben]) {
    await expectVisible(person.message("We won!").getByRole("button", { name: "🎉 2", pressed: true }));
  }
  await ben.message("We won!").getByRole("button", { name: "🎉 2" }).click();
  await expectVisible(anna.message("We won!").getByRole("button", { name: "🎉 1", pressed: true }));
  await expectVisible(ben.message("We won!").getByRole("button", { name: "🎉 1", pressed: false }));

  await ben.runAction("We won!", "React");
  const other = ben.page.getByRole("group", { name: "Pick a reaction" }).getByLabel("Other emoji");
  await other.fill("🦀");
  await other.press("Enter");
  await expectVisible(anna.message("We won!").getByRole("button", { name: "🦀 1" }));
});

test("saving an edit slowly keeps the text that was typed meanwhile", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Helo");
  await anna.api.post(uri, "Another one");
  await anna.openChat(uri);
  const release = await anna.holdRequests("**/messages/*");
  await anna.runAction("Helo", "Edit");
  await anna.composer.fill("Hello");
  const saved = anna.page.waitForResponse("**/messages/*");
  await anna.button("Save").click();
  await anna.composer.fill("Hello, and more");
  release();
  await saved;
  await expectVisible(anna.messages.filter({ hasText: "Hello" }).filter({ hasText: "(edited)" }));
  assert.equal(await anna.composer.inputValue(), "Hello, and more");
  await anna.button("Save").click();
  await expectVisible(anna.message("Hello, and more"));
  await eventually(() => anna.composer.inputValue(), "");
  await expectVisible(anna.button("Send"));
});

test("after an edit, the draft before it is restored", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Helo");
  await anna.api.post(uri, "A question");
  await anna.openChat(uri);
  await anna.runAction("A question", "Reply");
  await anna.composer.fill("Half an ans");
  const isBack = async () => {
    await eventually(() => anna.composer.inputValue(), "Half an ans");
    await expectVisible(anna.button("Cancel reply"));
    await expectVisible(anna.button("Send"));
  };
  await anna.runAction("Helo", "Edit");
  await eventually(() => anna.composer.inputValue(), "Helo");
  await anna.composer.press("Escape");
  await isBack();
  await anna.runAction("Helo", "Edit");
  await anna.composer.fill("Hello");
  await anna.button("Save").click();
  await expectVisible(anna.message("Hello"));
  await isBack();
});
