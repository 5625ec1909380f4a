/** Being offline: nothing is lost or duplicated. */

import assert from "node:assert/strict";
import { eventually, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible, type Person } from "./person.js";

/** Detecting a dead socket takes ten seconds. */
const OFFLINE_TIMEOUT = 20_000;

const texts = async (person: Person, uri: string) =>
  (await person.api.history(uri)).messages.map(({ message }) => message);

async function goOffline(person: Person): Promise<void> {
  await person.page.context().setOffline(true);
  await person.status("Offline: reconnecting…").waitFor({ timeout: OFFLINE_TIMEOUT });
}

test("after being offline, missed messages arrive, and unsent ones are sent once", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);
  await anna.send("Before");
  await expectVisible(ben.message("Before"));

  await ben.page.context().setOffline(true);
  await ben.send("Ben, hardly offline");
  await ben.status("Offline: reconnecting…").waitFor({ timeout: OFFLINE_TIMEOUT });
  await anna.send("Anna, one");
  await ben.send("Ben, one");
  await anna.send("Anna, two");
  await ben.send("Ben, two");
  await expectVisible(ben.message("Ben, two").getByText("Sending…"));
  await eventually(() => texts(anna, uri), ["Before", "Anna, one", "Anna, two"]);

  await ben.page.context().setOffline(false);
  const all = ["Before", "Anna, one", "Anna, two", "Ben, hardly offline", "Ben, one", "Ben, two"];
  await expectVisible(anna.message("Ben, two"));
  assert.deepEqual(await texts(anna, uri), all);
  for (const person of [anna, ben]) await eventually(() => person.shownTexts(all), all);
  await eventually(() => ben.page.getByText("Sending…").count(), 0);
  await expectVisible(ben.status("Connected"));
});

test("missed edits, deletions and reactions arrive", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  const ids = [];
  for (const text of ["To be edited", "To be deleted", "To be liked"]) ids.push((await anna.api.post(uri, text)).id);
  const [edited = 0, deleted = 0, liked = 0] = ids;
  await ben.openChat(uri);
  await expectVisible(ben.message("To be liked"));
  await goOffline(ben);
  await anna.api.edit(uri, edited, "Edited");
  await anna.api.delete(uri, deleted);
  await anna.api.react(uri, liked, "👍");
  await ben.page.context().setOffline(false);
  await expectVisible(ben.messages.filter({ hasText: "(edited)" }).filter({ hasText: "Edited" }));
  await expectVisible(ben.message("Message deleted"));
  await expectVisible(ben.message("To be liked").getByRole("button", { name: "👍 1" }));
  assert.equal(await ben.messages.count(), 3);
});

test("a message that was written offline is sent after a reload", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.openChat(uri);
  await goOffline(anna);
  await anna.send("Unsent, one");
  await anna.send("Unsent, two");
  await expectVisible(anna.message("Unsent, two").getByText("Sending…"));
  // Loading the page needs the network, but the first page must be gone before it can send anything.
  await anna.page.goto("about:blank");
  await anna.page.context().setOffline(false);
  assert.deepEqual(await texts(anna, uri), []);
  await anna.openChat(uri);
  const all = ["Unsent, one", "Unsent, two"];
  await eventually(() => texts(anna, uri), all);
  await eventually(() => anna.shownTexts(all), all);
  await eventually(() => anna.page.getByText("Sending…").count(), 0);
});

test("a message that was written offline outlives its token", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  const token = anna.page
    .waitForRequest((request) => request.headers().authorization?.startsWith("Token ") === true)
    .then((request) => request.headers().authorization ?? "");
  await anna.openChat(uri);
  await goOffline(anna);
  await anna.send("Written before the token died");
  await fetch(`${fixture.api}/auth/token/destroy`, { method: "POST", headers: { Authorization: await token } });
  await anna.page.context().setOffline(false);
  await anna.alert.filter({ hasText: "You were logged out. Log in again." }).waitFor({ timeout: OFFLINE_TIMEOUT });
  assert.deepEqual(await texts(anna, uri), []);
  await anna.logIn();
  await eventually(() => texts(anna, uri), ["Written before the token died"]);
  await expectVisible(anna.message("Written before the token died"));
});

test("a reply to a message that was deleted meanwhile can be sent without the reply", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  const { id } = await anna.api.post(uri, "Soon gone");
  await ben.openChat(uri);
  await expectVisible(ben.message("Soon gone"));
  await goOffline(ben);
  await ben.runAction("Soon gone", "Reply");
  await ben.send("An answer to nothing");
  await ben.send("And one more thing");
  await anna.api.delete(uri, id);
  await ben.page.context().setOffline(false);

  const refused = ben.messages.filter({ has: ben.page.getByText("An answer to nothing") });
  await expectVisible(refused.getByText("Not sent: The message that this replies to was deleted."));
  await eventually(() => texts(ben, uri), ["", "And one more thing"]);
  await ben.page.reload();
  await refused.getByRole("button", { name: "Send without the reply" }).click();
  const all = ["", "And one more thing", "An answer to nothing"];
  await eventually(() => texts(ben, uri), all);
  await expectHidden(refused.getByText("Not sent"));
  await eventually(() => ben.page.getByText("Sending…").count(), 0);
});

test("an unreachable server gives a clear error", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.visit();
  await anna.page.getByRole("form", { name: "Log in" }).waitFor();
  await anna.page.context().setOffline(true);
  await anna.logIn("whatever");
  await expectVisible(anna.alert.filter({ hasText: /Check your connection/ }));
});

test("an unsent message is marked in the list, and can be retried after its author was removed", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await anna.api.post(uri, "Hello");
  const other = await createChat(ben);
  await ben.api.post(other, "A note");
  await ben.openChat(uri);
  await expectVisible(ben.message("Hello"));
  await expectVisible(ben.chatWith(anna));
  await goOffline(ben);
  await ben.send("Too late");
  await anna.api.removeMember(uri, ben.name);
  await ben.page.context().setOffline(false);

  const refused = ben.main.getByRole("article").filter({ hasText: "Too late" });
  await expectVisible(refused.getByText(/Not sent: .+/));
  await expectVisible(ben.alert.filter({ hasText: "not" }));
  await expectVisible(ben.chatWith(anna).filter({ hasText: "Not sent" }));
  await ben.chats.getByRole("link").filter({ hasText: "A note" }).click();
  await expectVisible(ben.message("A note"));
  await ben.chatWith(anna).filter({ hasText: "Not sent" }).click();
  await refused.getByRole("button", { name: "Try again" }).click();
  await expectVisible(refused.getByText(/Not sent: .+/));
  await refused.getByRole("button", { name: "Discard" }).click();
  await expectHidden(refused);
  await expectHidden(ben.chatWith(anna));
});

test("being offline takes precedence over other errors", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Hello");
  await anna.openChat(uri);
  await anna.page.route("**/reactions/*", (route) => route.fulfill({ status: 503, json: {} }));
  await anna.react("Hello", "👍");
  await expectVisible(anna.alert.filter({ hasText: "Confab is busy." }));
  await goOffline(anna);
  await expectVisible(anna.alert.filter({ hasText: "what you write is sent when it is back" }));
  await expectHidden(anna.alert.filter({ hasText: "Confab is busy." }));
});
