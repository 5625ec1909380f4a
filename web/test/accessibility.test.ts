/** Accessibility of the main views (axe-core), and announcements for screen readers. */

import assert from "node:assert/strict";
import axe from "axe-core";
import { eventually, type Fixture, phone, test } from "./fixture.js";
import { createChat, expectVisible, type Person } from "./person.js";

/** The violations that axe-core finds on a page, a line for each element. */
async function violationsOn(person: Person): Promise<string[]> {
  await person.page.evaluate(axe.source);
  return person.page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 120)} ${failureSummary?.replace(/\s+/g, " ")}`),
    );
  });
}

async function checkViews(fixture: Fixture, options: NonNullable<Parameters<Fixture["person"]>[1]>): Promise<void> {
  /** Each violation, and the view in which it was found first. */
  const found = new Map<string, string>();
  const anna = await fixture.visitor("anna", options);
  const check = async (view: string) => {
    for (const violation of await violationsOn(anna)) if (!found.has(violation)) found.set(violation, view);
  };
  await anna.register();
  const [ben, cleo] = await Promise.all([fixture.visitor("ben"), fixture.visitor("cleo")]);
  await Promise.all([ben.register(), cleo.register()]);

  const uri = await createChat(anna, ben, cleo);
  const other = await createChat(ben, anna);
  await ben.api.post(other, "Unread");
  const { id } = await ben.api.post(uri, "Who brings the cake? https://example.com/cakes");
  await anna.api.post(uri, "I do", { replyTo: id });
  await anna.api.react(uri, id, "👍");
  await ben.api.react(uri, id, "👍");
  await cleo.api.react(uri, id, "🎉");
  const edited = await anna.api.post(uri, "At noon");
  await anna.api.edit(uri, edited.id, "At one");
  const deleted = await cleo.api.post(uri, "Gone");
  await cleo.api.delete(uri, deleted.id);
  const last = await anna.api.post(uri, "See you");
  await ben.api.markRead(uri, last.id);

  await anna.visit();
  await anna.page.getByRole("form", { name: "Log in" }).waitFor();
  await check("login");
  await anna.logIn("wrong");
  await expectVisible(anna.alert);
  await check("wrong password");
  await anna.visit("#/register");
  const register = anna.page.getByRole("form", { name: "Register" });
  await register.getByLabel("Username").fill(anna.name);
  await register.getByLabel("Password").fill(anna.password);
  await register.getByRole("button", { name: "Register" }).click();
  await expectVisible(register.getByText(/already exists/));
  await check("register");

  await anna.visit("#/login");
  await anna.logIn();
  await anna.reloadChatList();
  await expectVisible(anna.chatWith(ben, cleo));
  await check("chats");
  await anna.openChat(uri);
  await expectVisible(anna.log.getByText("Read by"));
  await check("chat");
  await anna.runAction("See you", "Reply");
  await expectVisible(anna.button("Cancel reply"));
  await check("replying");
  await anna.button("Cancel reply").click();
  await anna.runAction("See you", "Edit");
  await expectVisible(anna.button("Cancel edit"));
  await check("editing");
  await anna.button("Cancel edit").click();
  await anna.runAction("See you", "React");
  await expectVisible(anna.page.getByRole("group", { name: "Pick a reaction" }));
  await check("picking a reaction");
  await anna.page.keyboard.press("Escape");
  await anna.runAction("See you", "Delete");
  await expectVisible(anna.page.getByText("Delete this message?"));
  await check("deleting");
  await anna.button("Keep").click();
  await anna.button("Members").click();
  await expectVisible(anna.dialog("Members").getByRole("listitem").filter({ hasText: cleo.name }));
  await check("members");
  await anna.dialog("Members").getByRole("button", { name: "Close" }).click();
  await anna.button("Search").click();
  await anna.dialog("Search").getByLabel("Search messages").fill("cake");
  await anna.dialog("Search").getByLabel("Search messages").press("Enter");
  await expectVisible(anna.dialog("Search").getByRole("listitem"));
  await check("search");
  await anna.dialog("Search").getByRole("button", { name: "Close" }).click();
  await anna.composer.fill("a".repeat(1_950));
  await check("nearly too long");
  await anna.composer.fill("");
  await anna.visit("#/chats/0123456789abcde");
  await anna.log.waitFor({ state: "hidden" });
  await check("no such chat");
  assert.equal(found.size, 0, [...found].map(([violation, view]) => `${view}: ${violation}`).join("\n"));
}

test("axe-core: light mode, desktop", (fixture) => checkViews(fixture, { colorScheme: "light" }));
test("axe-core: dark mode, desktop", (fixture) => checkViews(fixture, { colorScheme: "dark" }));
test("axe-core: light mode, phone", (fixture) => checkViews(fixture, { colorScheme: "light", ...phone }));
test("axe-core: dark mode, phone", (fixture) => checkViews(fixture, { colorScheme: "dark", ...phone }));

test("screen readers announce new messages of others, and nothing else", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(anna, ben);
  for (let n = 1; n <= 120; n++) await ben.api.post(uri, `Message ${n}`);
  await anna.page.reload();
  /** All texts that the live region had. */
  const announced = () => anna.page.evaluate(() => (window as unknown as { announced: string[] }).announced);
  await anna.openChat(uri);
  await expectVisible(anna.message("Message 120"));
  await anna.announcements.evaluate((news) => {
    const announced: string[] = [];
    Object.assign(window, { announced });
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) for (const node of addedNodes) announced.push(node.textContent ?? "");
    }).observe(news, { childList: true, subtree: true });
  });
  assert.equal(await anna.log.getAttribute("aria-live"), "off");
  assert.equal((await anna.announcements.innerText()).trim(), "");

  await anna.log.hover();
  await anna.page.mouse.wheel(0, -100_000);
  await expectVisible(anna.message("Message 1"));
  await anna.send("My own");
  await expectVisible(anna.message("My own"));
  await ben.api.post(uri, "Hello");
  await ben.api.post(uri, "Hello");
  await eventually(
    async () => (await announced()).filter((text) => text !== ""),
    [`${ben.name}: Hello`, `${ben.name}: Hello`],
  );
  assert.deepEqual(await violationsOn(anna), []);
  await anna.announcements.getByText("Hello").first().waitFor({ state: "detached", timeout: 20_000 });
});

test("screen readers announce the character limits, not each count", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.openChat(uri);
  const form = anna.page.getByRole("form", { name: "Write a message" });
  const statusText = async () => (await form.getByRole("status").allInnerTexts()).join("").trim();
  const texts: string[] = [];
  for (const [length, counted] of [
    [1_850, "150 characters left"],
    [1_851, "149 characters left"],
    [2_001, "1 characters too many"],
    [2_002, "2 characters too many"],
  ] as const) {
    await anna.composer.fill("a".repeat(length));
    await expectVisible(form.getByText(counted));
    texts.push(await statusText());
  }
  assert.equal(texts[0], texts[1]);
  assert.equal(texts[2], texts[3]);
  assert.notEqual(texts[1], texts[2]);
  await anna.composer.fill("");
  await eventually(statusText, "");
});
