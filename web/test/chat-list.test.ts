/** The list of chats: unread counts, order, and many chats. */

import assert from "node:assert/strict";
import { eventually, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible } from "./person.js";

test("unread counts and the order of the list are live, and reading clears the count", async (fixture) => {
  const [anna, ben, cleo] = await Promise.all([fixture.person("anna"), fixture.person("ben"), fixture.person("cleo")]);
  const withBen = await createChat(anna, ben);
  const withCleo = await createChat(anna, cleo);
  await cleo.api.post(withCleo, "From Cleo");
  await anna.reloadChatList();
  await expectVisible(anna.chatWith(cleo));
  await expectVisible(anna.chatWith(ben));
  const order = () => anna.chats.getByRole("listitem").getByRole("link").allInnerTexts();
  const first = async () => ((await order())[0] ?? "").includes(ben.name);
  assert.equal(await first(), false);

  for (const text of ["One", "Two", "Three"]) await ben.api.post(withBen, text);
  await expectVisible(anna.chatWith(ben).filter({ hasText: "Three" }));
  const unread = anna.chatWith(ben).getByText("3 unread").or(anna.chatWith(ben).getByLabel("3 unread"));
  await expectVisible(unread);
  await eventually(first, true);

  await anna.chatWith(ben).click();
  await expectVisible(anna.message("Three"));
  await expectHidden(unread);
  await eventually(async () => (await anna.api.chats()).chats.map(({ unread }) => unread), [0, 1]);
  await ben.openChat(withBen);
  await expectVisible(ben.log.getByText(`Read by ${anna.name}`));
});

test("the list is live for more than 20 chats", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const oldest = await createChat(ben, anna);
  for (let n = 1; n <= 25; n++) await anna.api.post(await createChat(anna), `Note ${n}`);
  await anna.reloadChatList();
  const links = anna.chats.getByRole("listitem").getByRole("link");
  await eventually(() => links.count(), 26);
  await expectHidden(anna.button("Older chats"));
  await eventually(() => links.filter({ hasText: "Just you" }).count(), 25);
  await expectVisible(anna.chatWith(ben).filter({ hasText: "No messages yet" }));
  await ben.api.post(oldest, "Is anybody listening?");
  await expectVisible(anna.chatWith(ben).filter({ hasText: "Is anybody listening?" }).filter({ hasText: "1 unread" }));
  await eventually(async () => (await links.first().innerText()).includes(ben.name), true);
});

test("with more chats than a socket can subscribe to, the list has all, and the oldest works", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const oldest = await createChat(ben, anna);
  await ben.api.post(oldest, "Note 0");
  for (let n = 1; n <= 104; n++) await anna.api.post(await createChat(anna), `Note ${n}`);
  await anna.reloadChatList();
  const links = anna.chats.getByRole("listitem").getByRole("link");
  await eventually(() => links.count(), 80);
  await anna.button("Older chats").click();
  await expectHidden(anna.button("Older chats"));
  await eventually(() => links.filter({ hasText: "Just you" }).count(), 104);
  await expectVisible(anna.chatWith(ben).filter({ hasText: "Note 0" }).filter({ hasText: "1 unread" }));
  assert.equal(await links.count(), 105);

  await anna.chatWith(ben).click();
  await expectVisible(anna.message("Note 0"));
  await expectHidden(anna.chatWith(ben).filter({ hasText: "unread" }));
  await anna.send("I found it");
  await expectVisible(anna.chatWith(ben).filter({ hasText: "You: I found it" }));
  await eventually(async () => (await links.first().innerText()).includes(ben.name), true);
  await links.filter({ hasText: "Note 50" }).click();
  await expectVisible(anna.message("Note 50"));
  await ben.api.post(oldest, "Wonderful");
  await expectVisible(anna.chatWith(ben).filter({ hasText: "Wonderful" }).filter({ hasText: "1 unread" }));
  assert.equal(await links.count(), 105);
});

test("a deleted message is no longer unread", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(anna, ben);
  const before = await ben.api.post(uri, "Before");
  await ben.api.post(uri, "Stays");
  await anna.reloadChatList();
  const unread = (count: number) => anna.chatWith(ben).filter({ hasText: `${count} unread` });
  await expectVisible(unread(2));
  const live = await ben.api.post(uri, "Live");
  await ben.api.post(uri, "The end");
  await expectVisible(unread(4));
  await ben.api.delete(uri, live.id);
  await expectVisible(unread(3));
  await ben.api.delete(uri, before.id);
  await expectVisible(unread(2));
});

test("loading the list of chats can be retried", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  await anna.api.post(await createChat(anna), "A note");
  await anna.page.route("**/api/chats?limit=*", (route) => route.fulfill({ status: 503, json: {} }));
  await anna.visitAndLogIn();
  await expectVisible(anna.alert.filter({ hasText: "Confab is busy." }));
  await anna.page.unroute("**/api/chats?limit=*");
  await anna.button("Try again").click();
  await expectVisible(anna.chats.getByRole("link").filter({ hasText: "A note" }));
  await expectHidden(anna.alert);
});

test("creating a chat slowly does not navigate a user who navigated meanwhile", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  const uri = await createChat(anna);
  await anna.api.post(uri, "A note");
  await anna.visitAndLogIn();
  const release = await anna.holdRequests("**/api/chats");
  const links = anna.chats.getByRole("listitem").getByRole("link");
  await links.filter({ hasText: "A note" }).waitFor();
  await anna.button("New chat").click();
  await links.click();
  await expectVisible(anna.message("A note"));
  release();
  await eventually(() => links.count(), 2);
  await eventually(() => anna.button("New chat").isEnabled(), true);
  assert.ok(anna.page.url().endsWith(uri), anna.page.url());
});
