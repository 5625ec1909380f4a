/** Untrusted text: markup, links, scripts of all languages, and very long words. */

import assert from "node:assert/strict";
import { eventually, phone, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible, type Person } from "./person.js";

const markup = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg/onload=alert(1)>",
  "{{ constructor.constructor('alert(1)')() }}",
  '<a href="javascript:alert(1)">press</a>',
];

/** The elements whose content is wider than they are. */
const overflows = (person: Person) =>
  person.page.evaluate(() =>
    [document.documentElement, ...document.querySelectorAll("[role=log], nav, main, dialog[open]")]
      .filter((element) => element.scrollWidth > element.clientWidth)
      .map((element) => `${element.tagName} ${element.scrollWidth} > ${element.clientWidth}`),
  );

test("markup is shown as text, wherever a message is shown", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  await anna.api.updateMe({ first_name: "<img src=x onerror=alert(2)>", last_name: "<script>alert(2)</script>" });
  const uri = await createChat(anna, ben);
  let replyTo: number | undefined;
  for (const text of markup) replyTo = (await anna.api.post(uri, text, replyTo ? { replyTo } : {})).id;
  await ben.reloadChatList();
  await expectVisible(ben.chats.getByText(markup.at(-1) ?? ""));
  await ben.openChat(uri);
  await expectVisible(ben.main.getByRole("heading").filter({ hasText: "<img src=x onerror=alert(2)>" }));
  for (const text of markup) {
    await expectVisible(ben.messages.getByText(text));
    await anna.openChat(uri);
    await anna.send(`Live: ${text}`);
    await expectVisible(ben.message(`Live: ${text}`));
  }
  await ben.button("Search").click();
  await ben.dialog("Search").getByLabel("Search messages").fill("alert");
  await ben.dialog("Search").getByLabel("Search messages").press("Enter");
  await expectVisible(ben.dialog("Search").getByRole("listitem").getByText(`Live: ${markup[0]}`));
  await ben.dialog("Search").getByRole("button", { name: "Close" }).click();
  await ben.button("Members").click();
  await expectVisible(ben.dialog("Members").getByRole("listitem"));
  const elements = "[role=log] script, [role=log] svg[onload], [onerror], [onload], [href^='javascript:']";
  assert.equal(await ben.page.locator(elements).count(), 0);
});

test("a violation of the content security policy is detected", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.visit();
  await anna.page.getByRole("form", { name: "Log in" }).waitFor();
  await anna.page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "document.title = 'broken'";
    document.body.append(script);
  });
  await eventually(async () => fixture.errors.some((error) => error.startsWith("policy violated: script-src")), true);
  assert.notEqual(await anna.page.title(), "broken");
  fixture.errors.length = 0;
});

test("the content security policy allows nothing from other origins", async (fixture) => {
  const page = await (await fixture.context()).newPage();
  const policy = (await page.goto("/"))?.headers()["content-security-policy"] ?? "";
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'self'(;|$)/);
  assert.doesNotMatch(policy, /unsafe|\*/);
});

test("web addresses become links, others do not", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Look (https://example.com/a?b=1&c=2), and http://example.com/x.");
  await anna.api.post(uri, "javascript:alert(1) data:text/html,hello ftp://example.com");
  await anna.openChat(uri);
  await expectVisible(anna.messages.filter({ hasText: "ftp://" }));
  const links = anna.messages.getByRole("link");
  assert.equal(await links.count(), 2);
  for (const link of await links.all()) {
    assert.match((await link.getAttribute("href")) ?? "", /^https?:\/\/example\.com\/(a|x)/);
    assert.equal(await link.getAttribute("target"), "_blank");
    assert.deepEqual(((await link.getAttribute("rel")) ?? "").split(" ").sort(), [
      "nofollow",
      "noopener",
      "noreferrer",
    ]);
  }
  assert.equal(await links.last().getAttribute("href"), "http://example.com/x");
});

test("very long words are broken on a phone", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna", phone), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(anna, ben);
  const { id } = await ben.api.post(uri, "Donaudampfschifffahrt".repeat(20));
  await ben.api.post(uri, `https://example.com/${"a".repeat(500)}`, { replyTo: id });
  await ben.api.post(uri, "W".repeat(300));
  await anna.reloadChatList();
  await expectVisible(anna.chatWith(ben));
  assert.deepEqual(await overflows(anna), []);
  await anna.openChat(uri);
  await expectVisible(anna.message("W".repeat(300)));
  assert.deepEqual(await overflows(anna), []);
  await anna.composer.fill("M".repeat(300));
  assert.deepEqual(await overflows(anna), []);
  await anna.runAction("W".repeat(300), "Reply");
  assert.deepEqual(await overflows(anna), []);
  await anna.button("Cancel reply").click();
  await anna.button("Members").click();
  await expectVisible(anna.dialog("Members"));
  assert.deepEqual(await overflows(anna), []);
  await anna.page.keyboard.press("Escape");
  await anna.button("Search").click();
  await anna.dialog("Search").getByLabel("Search messages").fill("W".repeat(200));
  await anna.dialog("Search").getByLabel("Search messages").press("Enter");
  await expectVisible(anna.dialog("Search").getByRole("listitem"));
  assert.deepEqual(await overflows(anna), []);
});

test("each message has the direction of its own script", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  const hebrew = "שלום, מה שלומך?";
  const english = "Hello, how are you?";
  await anna.api.post(uri, hebrew);
  await anna.api.post(uri, english);
  await anna.openChat(uri);
  await expectVisible(anna.message(english));
  const direction = (text: string) =>
    anna
      .message(text)
      .getByText(text)
      .evaluate((element) => getComputedStyle(element).direction);
  assert.equal(await direction(hebrew), "rtl");
  assert.equal(await direction(english), "ltr");
  await anna.composer.fill(hebrew);
  assert.equal(await anna.composer.evaluate((field) => getComputedStyle(field).direction), "rtl");
});

test("emoji, whitespace and line breaks are preserved", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.person("ben")]);
  const uri = await createChat(anna, ben);
  await Promise.all([anna.openChat(uri), ben.openChat(uri)]);
  await anna.composer.fill("👩‍👩‍👧‍👦 🏳️‍🌈 🇺🇳");
  await anna.composer.press("Shift+Enter");
  await anna.composer.pressSequentially("a    b");
  await anna.composer.press("Enter");
  const message = ben.messages.filter({ hasText: "👩‍👩‍👧‍👦 🏳️‍🌈 🇺🇳" });
  await expectVisible(message);
  assert.ok((await message.innerText()).includes("👩‍👩‍👧‍👦 🏳️‍🌈 🇺🇳\na    b"), await message.innerText());
});

test("an invitation that is not validly encoded gives a clear error", async (fixture) => {
  const anna = await fixture.person("anna");
  await anna.visit("#/join/abc%");
  await expectVisible(anna.alert.filter({ hasText: "There is no such chat. Ask for a new invitation." }));
  await anna.page.reload();
  await expectVisible(anna.alert.filter({ hasText: "There is no such chat. Ask for a new invitation." }));
  await anna.visit("#/");
  await expectHidden(anna.alert);
  await anna.chats.getByLabel("Invitation link or code").fill("abc%");
  await anna.chats.getByRole("button", { name: "Join" }).click();
  await expectVisible(anna.alert.filter({ hasText: "There is no such chat. Ask for a new invitation." }));
});

test("a deleted account has a display name", async (fixture) => {
  const [anna, ben, cleo] = await Promise.all([
    fixture.person("anna"),
    fixture.visitor("ben"),
    fixture.visitor("cleo"),
  ]);
  await Promise.all([ben.register(), cleo.register()]);
  const uri = await createChat(anna, ben, cleo);
  await ben.api.post(uri, "Goodbye");
  await anna.page.route("**/api/**", async (route) => {
    const response = await route.fetch();
    const nobody = { username: "", email: "", first_name: "", last_name: "" };
    const json = JSON.parse(await response.text(), (_, value) =>
      Object(value).username === ben.name ? { ...value, ...nobody } : value,
    );
    await route.fulfill({ response, json });
  });
  await anna.page.reload();
  await anna.openChat(uri);
  await expectVisible(anna.main.getByRole("heading", { name: `Deleted user, ${cleo.name}` }));
  await expectVisible(anna.messages.filter({ hasText: "Goodbye" }).filter({ hasText: "Deleted user" }));
});
