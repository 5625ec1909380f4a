/** Drafts survive a reload, and slow operations do not move the focus. */

import assert from "node:assert/strict";
import { eventually, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible, isFocused, type Person } from "./person.js";

const texts = async (person: Person, uri: string) =>
  (await person.api.history(uri)).messages.map(({ message }) => message);

/** The storage keys of all drafts. */
const storedDrafts = (person: Person) =>
  person.page.evaluate(() => Object.keys(localStorage).filter((name) => name.startsWith("confab.draft.")));

test("a draft survives a reload until it is sent", async (fixture) => {
  const anna = await fixture.person("anna");
  const [uri, other] = [await createChat(anna), await createChat(anna)];
  await anna.api.post(uri, "The question");
  await anna.openChat(uri);
  await anna.runAction("The question", "Reply");
  await anna.composer.fill("Half an ans");
  await anna.page.reload();
  await eventually(() => anna.composer.inputValue(), "Half an ans");
  await expectVisible(anna.page.getByText(`Reply to ${anna.name}: The question`));
  await anna.openChat(other);
  assert.equal(await anna.composer.inputValue(), "");
  await anna.openChat(uri);
  await anna.send("An answer");
  await eventually(() => texts(anna, uri), ["The question", "An answer"]);
  assert.equal((await anna.api.history(uri)).messages[1]?.reply_to, (await anna.api.history(uri)).messages[0]?.id);
  await eventually(() => storedDrafts(anna), []);
  await anna.page.reload();
  await expectVisible(anna.message("An answer"));
  assert.equal(await anna.composer.inputValue(), "");
});

test("an unsaved edit survives a reload, with the draft before it", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Helo");
  await anna.openChat(uri);
  await anna.composer.fill("Something new");
  await anna.runAction("Helo", "Edit");
  await anna.composer.fill("Hello");
  await anna.page.reload();
  await eventually(() => anna.composer.inputValue(), "Hello");
  await anna.button("Save").click();
  await eventually(() => texts(anna, uri), ["Hello"]);
  await eventually(() => anna.composer.inputValue(), "Something new");
});

test("drafts are deleted on logout, and kept when the token expires", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Hello");
  await anna.openChat(uri);
  await anna.composer.fill("Not for others");
  await eventually(async () => (await storedDrafts(anna)).length, 1);
  await anna.page.route("**/reactions/**", (route) =>
    route.fulfill({ status: 401, json: { detail: "Invalid token." } }),
  );
  await anna.react("Hello", "👍");
  await expectVisible(anna.alert.filter({ hasText: "You were logged out. Log in again." }));
  await anna.logIn();
  await eventually(() => anna.composer.inputValue(), "Not for others");
  await anna.button("Log out").click();
  await expectVisible(anna.page.getByRole("form", { name: "Log in" }));
  assert.deepEqual(await storedDrafts(anna), []);
  await anna.logIn();
  await anna.openChat(uri);
  assert.equal(await anna.composer.inputValue(), "");
});

test("unreadable drafts and a full storage do no harm", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  const { id } = await anna.api.me();
  for (const garbled of ["{", "null", '{"text":7}', '{"text":"","editing":"x"}', '{"text":"","kept":{}}']) {
    await anna.page.evaluate(
      ([name, value]) => localStorage.setItem(name ?? "", value ?? ""),
      [`confab.draft.${id}.${uri}`, garbled],
    );
    await anna.page.goto("about:blank");
    await anna.openChat(uri);
    assert.equal(await anna.composer.inputValue(), "");
  }
  await anna.page.evaluate(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException("It is full.", "QuotaExceededError");
    };
  });
  await anna.composer.fill("Written all the same");
  await anna.page.goto("#/");
  await expectVisible(anna.main.getByText("Choose a chat"));
  await anna.page.goto(`#/chats/${uri}`);
  await eventually(() => anna.composer.inputValue(), "Written all the same");
  await anna.composer.press("Enter");
  await eventually(() => texts(anna, uri), ["Written all the same"]);
});

test("a reply to a message that is deleted while writing is sent without the reply", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(ben, anna);
  const { id } = await ben.api.post(uri, "Soon gone");
  await anna.openChat(uri);
  await anna.runAction("Soon gone", "Reply");
  await anna.composer.fill("An answer");
  await ben.api.delete(uri, id);
  await expectVisible(anna.status("The message that you reply to was deleted. Yours will be sent without the reply."));
  await anna.composer.press("Enter");
  await eventually(() => texts(anna, uri), ["", "An answer"]);
  assert.equal((await anna.api.history(uri)).messages[1]?.reply_to ?? null, null);
  await expectHidden(anna.page.getByText("Not sent"));
});

test("an edit of a message that is deleted while writing cannot be saved", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(ben, anna);
  const { id } = await anna.api.post(uri, "Helo");
  await anna.openChat(uri);
  await anna.runAction("Helo", "Edit");
  await anna.composer.fill("Hello");
  await ben.api.delete(uri, id);
  await expectVisible(anna.status("The message that you edit was deleted."));
  assert.equal(await anna.button("Save").isDisabled(), true);
  await anna.button("Cancel edit").click();
  await anna.send("Anew");
  await eventually(() => texts(anna, uri), ["", "Anew"]);
});

test("a chat that loads slowly takes the focus only if it is free", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Hello");
  const field = anna.page.getByLabel("Invitation link or code");
  for (const isFocusElsewhere of [true, false]) {
    await anna.visit("#/");
    await anna.page.reload();
    await expectVisible(anna.chats.getByRole("link").filter({ hasText: "Hello" }));
    const release = await anna.holdRequests(`**/api/chats/${uri}{,/**}`);
    await anna.page.reload();
    await expectVisible(anna.chats.getByRole("link").filter({ hasText: "Hello" }));
    await anna.chats.getByRole("link").filter({ hasText: "Hello" }).click();
    await expectVisible(anna.main.getByText("Loading…"));
    if (isFocusElsewhere) await field.pressSequentially("abc");
    release();
    await expectVisible(anna.composer);
    await expectVisible(anna.message("Hello"));
    if (isFocusElsewhere) {
      await anna.page.keyboard.type("def");
      assert.equal(await field.inputValue(), "abcdef");
      assert.equal(await isFocused(field), true);
    } else {
      await eventually(() => isFocused(anna.composer), true);
    }
    await anna.page.unrouteAll({ behavior: "wait" });
  }
});

test("a slow deletion does not move the focus", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Hello");
  await anna.openChat(uri);
  await anna.runAction("Hello", "Delete");
  const release = await anna.holdRequests("**/messages/*");
  await anna.button("Delete").and(anna.page.getByRole("dialog").getByRole("button")).click();
  await anna.composer.pressSequentially("One ");
  release();
  await expectVisible(anna.message("Message deleted"));
  await anna.page.keyboard.type("two");
  assert.equal(await anna.composer.inputValue(), "One two");
});
