/** How people come into a chat, and out of it. */

import assert from "node:assert/strict";
import { chat, misses, type Person, sees } from "./person.js";
import { eventually, test } from "./stage.js";

const names = async (person: Person, uri: string) =>
  (await person.api.show(uri)).members.map(({ username }) => username);

/** A member in the dialog that lists them. */
const member = (person: Person, other: Person) =>
  person.dialog("Members").getByRole("listitem").filter({ hasText: other.name });

async function openMembers(person: Person, uri: string): Promise<void> {
  await person.open(uri);
  await person.button("Members").click();
  await sees(person.dialog("Members"));
}

test("a link leads somebody without an account into the chat", async (stage) => {
  const anna = await stage.person("anna");
  await anna.button("New chat").click();
  await sees(anna.composer);
  await anna.write("Welcome, whoever you are");
  await anna.button("Copy invitation link").click();
  await sees(anna.status("Link copied"));
  const link = await anna.page.evaluate(() => navigator.clipboard.readText());
  assert.match(link, new RegExp(`^${stage.url}/#/join/[0-9a-f]{15}$`));

  const ben = await stage.visitor("ben");
  await ben.page.goto(link);
  await ben.page.getByRole("link", { name: "Register" }).click();
  const form = ben.page.getByRole("form", { name: "Register" });
  await form.getByLabel("Username").fill(ben.name);
  await form.getByLabel("Password").fill(ben.password);
  await form.getByRole("button", { name: "Register" }).click();
  await sees(ben.message("Welcome, whoever you are"));
  assert.match(ben.page.url(), /#\/chats\//);
  await ben.write("It is me");
  await sees(anna.message("It is me"));
  await sees(anna.main.getByRole("heading").filter({ hasText: ben.name }));
  await sees(anna.chatWith(ben));
});

test("a link that is opened again does no harm", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await anna.api.post(uri, "Hello");
  await ben.visit(`#/join/${uri}`);
  await sees(ben.message("Hello"));
  assert.deepEqual(await names(anna, uri), [anna.name, ben.name]);
});

test("one joins with a link or its code", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const form = ben.page.getByRole("form", { name: "Join a chat" });
  for (const prefix of [`${stage.url}/#/join/`, ""]) {
    const uri = await chat(anna);
    await anna.api.post(uri, `Behind "${prefix}"`);
    await ben.list();
    await form.getByLabel("Invitation link or code").fill(` ${prefix}${uri} `);
    await form.getByRole("button", { name: "Join" }).click();
    await sees(ben.message(`Behind "${prefix}"`));
    assert.deepEqual(await names(anna, uri), [anna.name, ben.name]);
  }
});

test("an invitation that leads nowhere says so", async (stage) => {
  const anna = await stage.person("anna");
  const form = anna.page.getByRole("form", { name: "Join a chat" });
  await form.getByLabel("Invitation link or code").fill("0123456789abcde");
  await form.getByRole("button", { name: "Join" }).click();
  await sees(anna.alert);
  assert.match((await anna.alert.first().innerText()).trim(), /\w+/);
  await sees(anna.button("Log out"));
});

test("several are invited by name at once, and an unknown name is said", async (stage) => {
  const [anna, ben, cleo] = await Promise.all([stage.person("anna"), stage.person("ben"), stage.visitor("cleo")]);
  await cleo.register();
  const dora = await stage.visitor("dora");
  await dora.register();
  const uri = await chat(anna);
  await openMembers(anna, uri);
  const form = anna.dialog("Members").getByRole("form", { name: "Invite" });
  await form.getByLabel("Usernames").fill(`${ben.name}, nobody-${ben.name}`);
  await form.getByRole("button", { name: "Invite" }).click();
  await sees(anna.dialog("Members").getByText(`There is no user "nobody-${ben.name}"`));
  assert.deepEqual(await names(anna, uri), [anna.name]);

  await form.getByLabel("Usernames").fill(`${ben.name}, ${cleo.name} ${dora.name}`);
  await form.getByRole("button", { name: "Invite" }).click();
  for (const other of [ben, cleo, dora]) await sees(member(anna, other));
  await misses(anna.dialog("Members").getByText("There is no user"));
  assert.deepEqual((await names(anna, uri)).sort(), [anna, ben, cleo, dora].map(({ name }) => name).sort());
  await eventually(() => form.getByLabel("Usernames").inputValue(), "");

  // Ben has done nothing, and has not looked again.
  await sees(ben.chatWith(anna));
});

test("the owner removes somebody, who notices at once", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await ben.open(uri);
  await openMembers(anna, uri);
  await sees(member(anna, anna).getByText("owner"));
  await anna
    .dialog("Members")
    .getByRole("button", { name: `Remove ${ben.name}` })
    .click();
  await anna.dialog("Members").getByRole("button", { name: "Remove", exact: true }).click();
  await misses(member(anna, ben));
  await misses(ben.composer);
  await misses(ben.chatWith(anna));
  await sees(ben.button("Log out"));
  assert.deepEqual(await names(anna, uri), [anna.name]);
});

test("the owner hands the chat over", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
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
  await sees(member(anna, ben).getByText("owner"));
  await misses(anna.dialog("Members").getByRole("button", { name: /^Remove|^Make/ }));
  await sees(ben.dialog("Members").getByRole("button", { name: `Remove ${anna.name}` }));
});

test("one leaves a chat, after being asked", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.person("ben")]);
  const uri = await chat(anna, ben);
  await openMembers(anna, uri);
  await openMembers(ben, uri);
  await sees(member(ben, anna));
  await ben.button("Leave chat").click();
  await sees(ben.page.getByText("Leave this chat?"));
  await ben.button("Stay").click();
  await misses(ben.page.getByText("Leave this chat?"));
  assert.deepEqual(await names(anna, uri), [anna.name, ben.name]);
  await ben.button("Leave chat").click();
  await ben.button("Leave").click();
  await misses(ben.composer);
  await misses(ben.page.getByRole("dialog"));
  await misses(ben.chatWith(anna));
  await misses(member(anna, ben));
  assert.deepEqual(await names(anna, uri), [anna.name]);
});

test("the members show who is online", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.visitor("ben")]);
  await ben.register();
  const uri = await chat(anna, ben);
  await openMembers(anna, uri);
  const online = member(anna, ben).getByText("online", { exact: true });
  await sees(member(anna, ben).getByText("offline", { exact: true }));
  // Who comes and goes is told after five seconds.
  await ben.arrive();
  await ben.open(uri);
  await sees(online);
  await ben.page.close();
  await misses(online);
});

test("who is invited again while they look at the chat is in it at once", async (stage) => {
  const [anna, ben] = await Promise.all([stage.visitor("anna"), stage.person("ben")]);
  await anna.register();
  const uri = await chat(anna, ben);
  await ben.open(uri);
  await anna.api.remove(uri, ben.name);
  await sees(ben.page.getByRole("link", { name: "Join this chat" }));
  await misses(ben.chatWith(anna));
  await anna.api.join(uri, [ben.name]);
  await sees(ben.composer);
  await anna.api.post(uri, "Welcome back");
  await sees(ben.message("Welcome back"));
  await ben.write("Thank you");
  await eventually(async () => (await anna.api.history(uri)).messages.at(-1)?.message, "Thank you");
  await sees(ben.chatWith(anna));
});

test("leaving slowly does not lead away from where one went meanwhile", async (stage) => {
  const [anna, ben] = await Promise.all([stage.visitor("anna"), stage.person("ben")]);
  await anna.register();
  const uri = await chat(anna, ben);
  const other = await chat(ben);
  await ben.api.post(other, "A note");
  await openMembers(ben, uri);
  await sees(ben.chats.getByRole("link").filter({ hasText: "A note" }));
  const answer = await ben.holdBack("**/members/*/");
  await ben.button("Leave chat").click();
  const gone = ben.page.waitForResponse("**/members/*/");
  await ben.button("Leave").click();
  await ben.page.keyboard.press("Escape");
  await ben.chats.getByRole("link").filter({ hasText: "A note" }).click();
  await sees(ben.message("A note"));
  answer();
  await (await gone).finished();
  await misses(ben.chatWith(anna));
  await ben.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  assert.ok(ben.page.url().endsWith(other), ben.page.url());
});
