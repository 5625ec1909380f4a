/** Without a network nothing is lost, and with it again nothing is there twice. */

import assert from "node:assert/strict";
import { chat, misses, type Person, sees } from "./person.js";
import { eventually, test } from "./stage.js";

/** It takes ten seconds to tell that a socket is dead. */
const NOTICED = 20_000;

const texts = async (person: Person, uri: string) =>
  (await person.api.history(uri)).messages.map(({ message }) => message);

async function goOffline(person: Person): Promise<void> {
  await person.page.context().setOffline(true);
  await person.status("Offline: reconnecting…").waitFor({ timeout: NOTICED });
}

test("who was offline gets what they missed, and what they wrote is sent once", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await Promise.all([anna.open(uri), ben.open(uri)]);
  await anna.write("Before");
  await sees(ben.message("Before"));

  await ben.page.context().setOffline(true);
  await ben.write("Ben, hardly offline");
  await ben.status("Offline: reconnecting…").waitFor({ timeout: NOTICED });
  await anna.write("Anna, one");
  await ben.write("Ben, one");
  await anna.write("Anna, two");
  await ben.write("Ben, two");
  await sees(ben.message("Ben, two").getByText("Sending…"));
  await eventually(() => texts(anna, uri), ["Before", "Anna, one", "Anna, two"]);

  await ben.page.context().setOffline(false);
  const all = ["Before", "Anna, one", "Anna, two", "Ben, hardly offline", "Ben, one", "Ben, two"];
  await sees(anna.message("Ben, two"));
  assert.deepEqual(await texts(anna, uri), all);
  for (const person of [anna, ben]) await eventually(() => person.said(all), all);
  await eventually(() => ben.page.getByText("Sending…").count(), 0);
  await sees(ben.status("Connected"));
});

test("edits, deletions and reactions that were missed are made up for", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  const ids = [];
  for (const text of ["To be edited", "To be deleted", "To be liked"]) ids.push((await anna.api.post(uri, text)).id);
  const [edited = 0, deleted = 0, liked = 0] = ids;
  await ben.open(uri);
  await sees(ben.message("To be liked"));
  await goOffline(ben);
  await anna.api.edit(uri, edited, "Edited");
  await anna.api.delete(uri, deleted);
  await anna.api.react(uri, liked, "👍");
  await ben.page.context().setOffline(false);
  await sees(ben.messages.filter({ hasText: "(edited)" }).filter({ hasText: "Edited" }));
  await sees(ben.message("Message deleted"));
  await sees(ben.message("To be liked").getByRole("button", { name: "👍 1" }));
  assert.equal(await ben.messages.count(), 3);
});

test("what was written offline is sent after the page was loaded again", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.open(uri);
  await goOffline(anna);
  await anna.write("Unsent, one");
  await anna.write("Unsent, two");
  await sees(anna.message("Unsent, two").getByText("Sending…"));
  // A page that is loaded needs the network, but the first page must not send anything before it is gone.
  await anna.page.goto("about:blank");
  await anna.page.context().setOffline(false);
  assert.deepEqual(await texts(anna, uri), []);
  await anna.open(uri);
  const all = ["Unsent, one", "Unsent, two"];
  await eventually(() => texts(anna, uri), all);
  await eventually(() => anna.said(all), all);
  await eventually(() => anna.page.getByText("Sending…").count(), 0);
});

test("what was written offline outlives a token", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  const token = anna.page
    .waitForRequest((request) => request.headers().authorization?.startsWith("Token ") === true)
    .then((request) => request.headers().authorization ?? "");
  await anna.open(uri);
  await goOffline(anna);
  await anna.write("Written before the token died");
  await fetch(`${stage.api}/auth/token/destroy/`, { method: "POST", headers: { Authorization: await token } });
  await anna.page.context().setOffline(false);
  await anna.alert.filter({ hasText: "You were logged out. Log in again." }).waitFor({ timeout: NOTICED });
  assert.deepEqual(await texts(anna, uri), []);
  await anna.logIn();
  await eventually(() => texts(anna, uri), ["Written before the token died"]);
  await sees(anna.message("Written before the token died"));
});

test("a reply to a message that was deleted meanwhile can be sent without the reply", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  const { id } = await anna.api.post(uri, "Soon gone");
  await ben.open(uri);
  await sees(ben.message("Soon gone"));
  await goOffline(ben);
  await ben.act("Soon gone", "Reply");
  await ben.write("An answer to nothing");
  await ben.write("And one more thing");
  await anna.api.delete(uri, id);
  await ben.page.context().setOffline(false);

  const refused = ben.messages.filter({ has: ben.page.getByText("An answer to nothing") });
  await sees(refused.getByText("Not sent: The message that this replies to was deleted."));
  await eventually(() => texts(ben, uri), ["", "And one more thing"]);
  await ben.page.reload();
  await refused.getByRole("button", { name: "Send without the reply" }).click();
  const all = ["", "And one more thing", "An answer to nothing"];
  await eventually(() => texts(ben, uri), all);
  await misses(refused.getByText("Not sent"));
  await eventually(() => ben.page.getByText("Sending…").count(), 0);
});

test("a page that cannot reach the server says what to do", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.visit();
  await anna.page.getByRole("form", { name: "Log in" }).waitFor();
  await anna.page.context().setOffline(true);
  await anna.logIn("whatever");
  await sees(anna.alert.filter({ hasText: /Check your connection/ }));
});

test("what was not sent is marked in the list of chats, and can be tried again also in a chat one is not in any more", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await anna.api.post(uri, "Hello");
  const other = await chat(ben);
  await ben.api.post(other, "A note");
  await ben.open(uri);
  await sees(ben.message("Hello"));
  await sees(ben.chatWith(anna));
  await goOffline(ben);
  await ben.write("Too late");
  await anna.api.remove(uri, ben.name);
  await ben.page.context().setOffline(false);

  const refused = ben.main.getByRole("article").filter({ hasText: "Too late" });
  await sees(refused.getByText(/Not sent: .+/));
  await sees(ben.alert.filter({ hasText: "not" }));
  await sees(ben.chatWith(anna).filter({ hasText: "Not sent" }));
  await ben.chats.getByRole("link").filter({ hasText: "A note" }).click();
  await sees(ben.message("A note"));
  await ben.chatWith(anna).filter({ hasText: "Not sent" }).click();
  await refused.getByRole("button", { name: "Try again" }).click();
  await sees(refused.getByText(/Not sent: .+/));
  await refused.getByRole("button", { name: "Discard" }).click();
  await misses(refused);
  await misses(ben.chatWith(anna));
});

test("being offline comes before what went wrong", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.api.post(uri, "Hello");
  await anna.open(uri);
  await anna.page.route("**/reactions/*/", (route) => route.fulfill({ status: 503, json: {} }));
  await anna.react("Hello", "👍");
  await sees(anna.alert.filter({ hasText: "Confab is busy." }));
  await goOffline(anna);
  await sees(anna.alert.filter({ hasText: "what you write is sent when it is back" }));
  await misses(anna.alert.filter({ hasText: "Confab is busy." }));
});
