/** Joining, inviting, removing and leaving. */

import assert from "node:assert/strict";
import { eventually, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible, type Person } from "./person.js";

const names = async (person: Person, uri: string) =>
  (await person.api.chat(uri)).members.map(({ username }) => username);

/** A member in the members dialog. */
const member = (person: Person, other: Person) =>
  person.dialog("Members").getByRole("listitem").filter({ hasText: other.name });

async function openMembers(person: Person, uri: string): Promise<void> {
  await person.openChat(uri);
  await person.button("Members").click();
  await expectVisible(person.dialog("Members"));
}

test("an invitation link leads a user without an account into the chat", async (fixture) => {
  const anna = await fixture.person("anna");
  await anna.button("New chat").click();
  await expectVisible(anna.composer);
  await anna.send("Welcome, whoever you are");
  await anna.button("Copy invitation link").click();
  await expectVisible(anna.status("Link copied"));
  const link = await anna.page.evaluate(() => navigator.clipboard.readText());
  assert.match(link, new RegExp(`^${fixture.url}/#/join/[0-9a-f]{15}$`));

  const ben = await fixture.visitor("ben");
  await ben.page.goto(link);
  await ben.page.getByRole("link", { name: "Register" }).click();
  const form = ben.page.getByRole("form", { name: "Register" });
  await form.getByLabel("Username").fill(ben.name);
  await form.getByLabel("Password").fill(ben.password);
  await form.getByRole("button", { name: "Register" }).click();
  await expectVisible(ben.message("Welcome, whoever you are"));
  assert.match(ben.page.url(), /#\/chats\//);
  await ben.send("It is me");
  await expectVisible(anna.message("It is me"));
  await expectVisible(anna.main.getByRole("heading").filter({ hasText: ben.name }));
  await expectVisible(anna.chatWith(ben));
});

test("opening an invitation link again changes nothing", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await anna.api.post(uri, "Hello");
  await ben.visit(`#/join/${uri}`);
  await expectVisible(ben.message("Hello"));
  assert.deepEqual(await names(anna, uri), [anna.name, ben.name]);
});

test("a user joins with an invitation link or its code", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const form = ben.page.getByRole("form", { name: "Join a chat" });
  for (const prefix of [`${fixture.url}/#/join/`, ""]) {
    const uri = await createChat(anna);
    await anna.api.post(uri, `Behind "${prefix}"`);
    await ben.reloadChatList();
    await form.getByLabel("Invitation link or code").fill(` ${prefix}${uri} `);
    await form.getByRole("button", { name: "Join" }).click();
    await expectVisible(ben.message(`Behind "${prefix}"`));
    assert.deepEqual(await names(anna, uri), [anna.name, ben.name]);
  }
});

test("an invalid invitation gives a clear error", async (fixture) => {
  const anna = await fixture.person("anna");
  const form = anna.page.getByRole("form", { name: "Join a chat" });
  await form.getByLabel("Invitation link or code").fill("0123456789abcde");
  await form.getByRole("button", { name: "Join" }).click();
  await expectVisible(anna.alert);
  assert.match((await anna.alert.first().innerText()).trim(), /\w+/);
  await expectVisible(anna.button("Log out"));
});

test("several users are invited at once, and an unknown username is reported", async (fixture) => {
  const [anna, ben, cleo] = await Promise.all([fixture.person("anna"), fixture.person("ben"), fixture.visitor("cleo")]);
  await cleo.register();
  const dora = await fixture.visitor("dora");
  await dora.register();
  const uri = await createChat(anna);
  await openMembers(anna, uri);
  const form = anna.dialog("Members").getByRole("form", { name: "Invite" });
  await form.getByLabel("Usernames").fill(`${ben.name}, nobody-${ben.name}`);
  await form.getByRole("button", { name: "Invite" }).click();
  await expectVisible(anna.dialog("Members").getByText(`There is no user "nobody-${ben.name}"`));
  assert.deepEqual(await names(anna, uri), [anna.name]);

  await form.getByLabel("Usernames").fill(`${ben.name}, ${cleo.name} ${dora.name}`);
  await form.getByRole("button", { name: "Invite" }).click();
  for (const other of [ben, cleo, dora]) await expectVisible(member(anna, other));
  await expectHidden(anna.dialog("Members").getByText("There is no user"));
  assert.deepEqual((await names(anna, uri)).sort(), [anna, ben, cleo, dora].map(({ name }) => name).sort());
  await eventually(() => form.getByLabel("Usernames").inputValue(), "");

  // Ben sees it without reloading.
  await expectVisible(ben.chatWith(anna));
});

test("the owner removes a member, who notices at once", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await ben.openChat(uri);
  await openMembers(anna, uri);
  await expectVisible(member(anna, anna).getByText("owner"));
  await anna
    .dialog("Members")
    .getByRole("button", { name: `Remove ${ben.name}` })
    .click();
  await anna.dialog("Members").getByRole("button", { name: "Remove", exact: true }).click();
  await expectHidden(member(anna, ben));
  await expectHidden(ben.composer);
  await expectHidden(ben.chatWith(anna));
  await expectVisible(ben.button("Log out"));
  assert.deepEqual(await names(anna, uri), [anna.name]);
});

test("the owner transfers the chat", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await openMembers(ben, uri);
  assert.equal(
    await ben
      .dialog("Members")
      .getByRole("button", { name: /^Remove|^Make/ })
      .count(),
    0,
  );
  await openMembers(anna, uri);
  await anna
    .dialog("Members")
    .getByRole("button", { name: `Make ${ben.name} the owner` })
    .click();
  await anna.dialog("Members").getByRole("button", { name: "Make owner", exact: true }).click();
  await expectVisible(member(anna, ben).getByText("owner"));
  await expectHidden(anna.dialog("Members").getByRole("button", { name: /^Remove|^Make/ }));
  await expectVisible(ben.dialog("Members").getByRole("button", { name: `Remove ${anna.name}` }));
});

test("a member leaves the chat after confirmation", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await openMembers(anna, uri);
  await openMembers(ben, uri);
  await expectVisible(member(ben, anna));
  await ben.button("Leave chat").click();
  await expectVisible(ben.page.getByText("Leave this chat?"));
  await ben.button("Stay").click();
  await expectHidden(ben.page.getByText("Leave this chat?"));
  assert.deepEqual(await names(anna, uri), [anna.name, ben.name]);
  await ben.button("Leave chat").click();
  await ben.button("Leave").click();
  await expectHidden(ben.composer);
  await expectHidden(ben.page.getByRole("dialog"));
  await expectHidden(ben.chatWith(anna));
  await expectHidden(member(anna, ben));
  assert.deepEqual(await names(anna, uri), [anna.name]);
});

test("the list of members shows presence", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(anna, ben);
  await openMembers(anna, uri);
  const online = member(anna, ben).getByText("online", { exact: true });
  await expectVisible(member(anna, ben).getByText("offline", { exact: true }));
  // Presence is published with a delay of five seconds.
  await ben.visitAndLogIn();
  await ben.openChat(uri);
  await expectVisible(online);
  await ben.page.close();
  await expectHidden(online);
});

test("a user who is invited again while the chat is open is in it at once", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.visitor("anna"), fixture.person("ben")]);
  await anna.register();
  const uri = await createChat(anna, ben);
  await ben.openChat(uri);
  await anna.api.removeMember(uri, ben.name);
  await expectVisible(ben.page.getByRole("link", { name: "Join this chat" }));
  await expectHidden(ben.chatWith(anna));
  await anna.api.join(uri, [ben.name]);
  await expectVisible(ben.composer);
  await anna.api.post(uri, "Welcome back");
  await expectVisible(ben.message("Welcome back"));
  await ben.send("Thank you");
  await eventually(async () => (await anna.api.history(uri)).messages.at(-1)?.message, "Thank you");
  await expectVisible(ben.chatWith(anna));
});

test("leaving slowly does not navigate a user who navigated meanwhile", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.visitor("anna"), fixture.person("ben")]);
  await anna.register();
  const uri = await createChat(anna, ben);
  const other = await createChat(ben);
  await ben.api.post(other, "A note");
  await openMembers(ben, uri);
  await expectVisible(ben.chats.getByRole("link").filter({ hasText: "A note" }));
  const release = await ben.holdRequests("**/members/*");
  await ben.button("Leave chat").click();
  const removed = ben.page.waitForResponse("**/members/*");
  await ben.button("Leave").click();
  await ben.page.keyboard.press("Escape");
  await ben.chats.getByRole("link").filter({ hasText: "A note" }).click();
  await expectVisible(ben.message("A note"));
  release();
  await (await removed).finished();
  await expectHidden(ben.chatWith(anna));
  await ben.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  assert.ok(ben.page.url().endsWith(other), ben.page.url());
});
