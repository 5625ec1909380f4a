/** The history of a chat: paging, scrolling and searching. */

import assert from "node:assert/strict";
import { eventually, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible, isFocused, isInView, type Person } from "./person.js";

const LAST = 150;

/** A chat with more messages than one page. */
async function longChat(owner: Person, ...others: Person[]): Promise<string> {
  await Promise.all([owner, ...others].map((person) => person.register()));
  const uri = await createChat(owner, ...others);
  for (let n = 1; n <= LAST; n++) await owner.api.post(uri, `Message ${n}`);
  await Promise.all([owner, ...others].map((person) => person.visitAndLogIn()));
  return uri;
}

const numbers = async (person: Person) =>
  (await person.messages.allInnerTexts()).map((text) => Number(/^Message (\d+)$/m.exec(text)?.[1]));

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

/** Scrolls to the first loaded message. */
async function scrollUp(person: Person): Promise<void> {
  await person.log.hover();
  await person.page.mouse.wheel(0, -100_000);
}

test("scrolling up loads older messages, and keeps the position", async (fixture) => {
  const anna = await fixture.visitor("anna");
  const uri = await longChat(anna);
  await anna.openChat(uri);
  await eventually(() => isInView(anna.message(`Message ${LAST}`)), true);
  const before = await numbers(anna);
  assert.ok(before.length < LAST, "everything was loaded at once");
  const first = before[0] ?? 0;

  await scrollUp(anna);
  await eventually(() => numbers(anna), upTo(LAST));
  assert.equal(await isInView(anna.message(`Message ${first}`)), true, "the visible message has moved");
  assert.equal(await isInView(anna.message("Message 1")), false);
  await scrollUp(anna);
  await eventually(() => isInView(anna.message("Message 1")), true);
  await expectHidden(anna.button("Older messages"));
});

test("a button loads older messages, for users who do not scroll", async (fixture) => {
  const anna = await fixture.visitor("anna");
  const uri = await longChat(anna);
  await anna.openChat(uri);
  await expectVisible(anna.message(`Message ${LAST}`));
  await anna.button("Older messages").focus();
  await anna.page.keyboard.press("Enter");
  await eventually(() => numbers(anna), upTo(LAST));
});

test("new messages do not move a user who reads older ones, and a button leads to them", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.visitor("anna"), fixture.visitor("ben")]);
  const uri = await longChat(anna, ben);
  await ben.openChat(uri);
  await eventually(() => isInView(ben.message(`Message ${LAST}`)), true);
  await scrollUp(ben);
  await eventually(() => numbers(ben), upTo(LAST));
  await scrollUp(ben);
  await eventually(() => isInView(ben.message("Message 1")), true);

  await anna.api.post(uri, "Meanwhile");
  await expectVisible(ben.button("New messages"));
  assert.equal(await isInView(ben.message("Message 1")), true);
  await ben.button("New messages").click();
  await eventually(() => isInView(ben.message("Meanwhile")), true);
  await expectHidden(ben.button("New messages"));

  await anna.api.post(uri, "At the end");
  await eventually(() => isInView(ben.message("At the end")), true);
  await expectHidden(ben.button("New messages"));
});

test("sending a message scrolls to it", async (fixture) => {
  const anna = await fixture.visitor("anna");
  const uri = await longChat(anna);
  await anna.openChat(uri);
  await eventually(() => isInView(anna.message(`Message ${LAST}`)), true);
  await scrollUp(anna);
  await eventually(() => numbers(anna), upTo(LAST));
  await anna.send("My answer");
  await eventually(() => isInView(anna.message("My answer")), true);
});

test("searching finds the messages with all the words, and leads to them", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "The cake is in the fridge");
  for (let n = 1; n <= 60; n++) await anna.api.post(uri, `Chatter ${n}`);
  await anna.api.post(uri, "Whose fridge is this?");
  await anna.openChat(uri);
  await expectVisible(anna.message("Whose fridge is this?"));

  await anna.button("Search").click();
  const dialog = anna.dialog("Search");
  const results = dialog.getByRole("listitem");
  const search = async (words: string) => {
    await dialog.getByLabel("Search messages").fill(words);
    await dialog.getByLabel("Search messages").press("Enter");
  };
  await search("FRIDGE");
  await eventually(() => results.count(), 2);
  assert.match((await results.allInnerTexts())[0] ?? "", /Whose fridge is this\?/);
  await search("fridge cake");
  await eventually(() => results.count(), 1);
  await expectVisible(results.filter({ hasText: "The cake is in the fridge" }));
  await search("submarine");
  await eventually(() => results.count(), 0);
  await expectVisible(dialog.getByText(/^(No|Nothing)\b/));

  await search("fridge cake");
  await results.getByRole("button").click();
  await expectHidden(dialog);
  await eventually(() => isInView(anna.message("The cake is in the fridge")), true);
});

test("a quote of an old message leads to it, also with a double click", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  const uri = await createChat(anna);
  const { id } = await anna.api.post(uri, "Long ago");
  for (let n = 1; n <= LAST; n++) await anna.api.post(uri, `Message ${n}`);
  await anna.api.post(uri, "Do you remember?", { replyTo: id });
  await anna.visitAndLogIn();
  await anna.openChat(uri);
  const quote = anna.message("Do you remember?").getByRole("button").filter({ hasText: "an earlier message" });
  await expectVisible(quote);

  const release = await anna.holdRequests("**/messages?before=*");
  const asked = anna.page.waitForRequest("**/messages?before=*");
  await quote.dblclick();
  await asked;
  assert.equal(await anna.page.evaluate(() => 1 + 1), 2);
  release();
  // The reply contains the same text as a quote.
  await eventually(() => isInView(anna.message("Long ago").first()), true);
  await eventually(() => isFocused(anna.message("Long ago").first()), true);
});

test("without a scroll bar, messages are marked as read after a quote was followed", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(anna, ben);
  const { id } = await ben.api.post(uri, "Who brings the cake?");
  await anna.api.post(uri, "I do", { replyTo: id });
  await anna.openChat(uri);
  await anna.message("I do").getByRole("button").filter({ hasText: "Who brings the cake?" }).click();
  await eventually(() => isFocused(anna.message("Who brings the cake?").first()), true);
  const last = await ben.api.post(uri, "Good");
  await expectVisible(anna.message("Good"));
  await eventually(async () => (await anna.api.chats()).chats[0]?.read_id, last.id);
  assert.equal(await anna.button("New messages").count(), 0);
});
