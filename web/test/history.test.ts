/** What was said long ago: paging back through it, coming back to the end, and searching it. */

import assert from "node:assert/strict";
import { chat, isFocused, isInView, misses, type Person, sees } from "./person.js";
import { eventually, test } from "./stage.js";

const LAST = 150;

/** Somebody comes back to a chat with more messages than are read at once. */
async function longChat(owner: Person, ...others: Person[]): Promise<string> {
  await Promise.all([owner, ...others].map((person) => person.register()));
  const uri = await chat(owner, ...others);
  for (let n = 1; n <= LAST; n++) await owner.api.post(uri, `Message ${n}`);
  await Promise.all([owner, ...others].map((person) => person.arrive()));
  return uri;
}

const numbers = async (person: Person) =>
  (await person.messages.allInnerTexts()).map((text) => Number(/^Message (\d+)$/m.exec(text)?.[1]));

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

/** Scrolls to the first message that is there. */
async function scrollUp(person: Person): Promise<void> {
  await person.log.hover();
  await person.page.mouse.wheel(0, -100_000);
}

test("scrolling up reads older messages and keeps the place", async (stage) => {
  const anna = await stage.visitor("anna");
  const uri = await longChat(anna);
  await anna.open(uri);
  await eventually(() => isInView(anna.message(`Message ${LAST}`)), true);
  const before = await numbers(anna);
  assert.ok(before.length < LAST, "all of it was read at once");
  const first = before[0] ?? 0;

  await scrollUp(anna);
  await eventually(() => numbers(anna), upTo(LAST));
  assert.equal(await isInView(anna.message(`Message ${first}`)), true, "the message that was in view is not any more");
  assert.equal(await isInView(anna.message("Message 1")), false);
  await scrollUp(anna);
  await eventually(() => isInView(anna.message("Message 1")), true);
  await misses(anna.button("Older messages"));
});

test("a button reads older messages, for those who do not scroll", async (stage) => {
  const anna = await stage.visitor("anna");
  const uri = await longChat(anna);
  await anna.open(uri);
  await sees(anna.message(`Message ${LAST}`));
  await anna.button("Older messages").focus();
  await anna.page.keyboard.press("Enter");
  await eventually(() => numbers(anna), upTo(LAST));
});

test("new messages do not move who reads old ones, and a button leads to them", async (stage) => {
  const [anna, ben] = await Promise.all([stage.visitor("anna"), stage.visitor("ben")]);
  const uri = await longChat(anna, ben);
  await ben.open(uri);
  await eventually(() => isInView(ben.message(`Message ${LAST}`)), true);
  await scrollUp(ben);
  await eventually(() => numbers(ben), upTo(LAST));
  await scrollUp(ben);
  await eventually(() => isInView(ben.message("Message 1")), true);

  await anna.api.post(uri, "Meanwhile");
  await sees(ben.button("New messages"));
  assert.equal(await isInView(ben.message("Message 1")), true);
  await ben.button("New messages").click();
  await eventually(() => isInView(ben.message("Meanwhile")), true);
  await misses(ben.button("New messages"));

  await anna.api.post(uri, "At the end");
  await eventually(() => isInView(ben.message("At the end")), true);
  await misses(ben.button("New messages"));
});

test("what one writes oneself is shown, wherever one was reading", async (stage) => {
  const anna = await stage.visitor("anna");
  const uri = await longChat(anna);
  await anna.open(uri);
  await eventually(() => isInView(anna.message(`Message ${LAST}`)), true);
  await scrollUp(anna);
  await eventually(() => numbers(anna), upTo(LAST));
  await anna.write("My answer");
  await eventually(() => isInView(anna.message("My answer")), true);
});

test("searching finds the messages with all the words, and leads to them", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.api.post(uri, "The cake is in the fridge");
  for (let n = 1; n <= 60; n++) await anna.api.post(uri, `Chatter ${n}`);
  await anna.api.post(uri, "Whose fridge is this?");
  await anna.open(uri);
  await sees(anna.message("Whose fridge is this?"));

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
  await sees(results.filter({ hasText: "The cake is in the fridge" }));
  await search("submarine");
  await eventually(() => results.count(), 0);
  await sees(dialog.getByText(/^(No|Nothing)\b/));

  await search("fridge cake");
  await results.getByRole("button").click();
  await misses(dialog);
  await eventually(() => isInView(anna.message("The cake is in the fridge")), true);
});

test("a quote of what was said long ago leads there, also if it is pressed twice", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  const uri = await chat(anna);
  const { id } = await anna.api.post(uri, "Long ago");
  for (let n = 1; n <= LAST; n++) await anna.api.post(uri, `Message ${n}`);
  await anna.api.post(uri, "Do you remember?", { replyTo: id });
  await anna.arrive();
  await anna.open(uri);
  const quote = anna.message("Do you remember?").getByRole("button").filter({ hasText: "an earlier message" });
  await sees(quote);

  const answer = await anna.holdBack("**/messages/?before=*");
  const asked = anna.page.waitForRequest("**/messages/?before=*");
  await quote.dblclick();
  await asked;
  assert.equal(await anna.page.evaluate(() => 1 + 1), 2);
  answer();
  // The one that quotes it says it, too.
  await eventually(() => isInView(anna.message("Long ago").first()), true);
  await eventually(() => isFocused(anna.message("Long ago").first()), true);
});

test("where everything fits, one is at the end also after a quote was followed", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.visitor("ben")]);
  await ben.register();
  const uri = await chat(anna, ben);
  const { id } = await ben.api.post(uri, "Who brings the cake?");
  await anna.api.post(uri, "I do", { replyTo: id });
  await anna.open(uri);
  await anna.message("I do").getByRole("button").filter({ hasText: "Who brings the cake?" }).click();
  await eventually(() => isFocused(anna.message("Who brings the cake?").first()), true);
  const last = await ben.api.post(uri, "Good");
  await sees(anna.message("Good"));
  await eventually(async () => (await anna.api.chats()).chats[0]?.read_id, last.id);
  assert.equal(await anna.button("New messages").count(), 0);
});
