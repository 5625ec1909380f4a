/** Limits: unsendable text, long lists, large chats. */

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { eventually, phone, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible, isFocused, type Person } from "./person.js";

const texts = async (person: Person, uri: string) =>
  (await person.api.history(uri)).messages.map(({ message }) => message);

/** How far the page itself can be scrolled, in pixels. */
const scrollRange = (page: Page) =>
  page.evaluate(() => {
    scrollTo(0, 100_000);
    return [scrollX, scrollY, document.documentElement.scrollHeight - innerHeight];
  });

test("a lone surrogate is sent as U+FFFD", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.openChat(uri);
  // As a browser extension does that truncates text by UTF-16 units.
  await anna.composer.evaluate((field: HTMLTextAreaElement) => {
    field.value = "cut off \ud83d";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await anna.composer.press("Enter");
  await anna.send("Two");
  await eventually(() => texts(anna, uri), ["cut off \ufffd", "Two"]);
  await eventually(() => anna.page.getByText("Sending…").count(), 0);
  await expectVisible(anna.message("cut off \ufffd"));
  await anna.runAction("Two", "Edit");
  await anna.composer.evaluate((field: HTMLTextAreaElement) => {
    field.value = "\udc4d Three";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await anna.button("Save").click();
  await eventually(() => texts(anna, uri), ["cut off \ufffd", "\ufffd Three"]);
});

test("unsendable messages that an earlier version stored do not block others", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  const { id } = await anna.api.me();
  await anna.page.evaluate(
    ({ id, uri }) => {
      const date = Date.now();
      const stored = [
        { key: "half", message: "cut off \ud83d", date, tried: date, state: "sending" },
        { key: "long", message: "a".repeat(40_000), date: date + 1, tried: date, state: "sending" },
        { key: "good", message: "And one more thing", date: date + 2, state: "queued" },
      ];
      for (const message of stored) {
        localStorage.setItem(`confab.outbox.${id}.${message.key}`, JSON.stringify({ uri, ...message }));
      }
    },
    { id, uri },
  );
  await anna.page.reload();
  await anna.openChat(uri);
  await eventually(() => texts(anna, uri), ["cut off \ufffd", "And one more thing"]);
  const refused = anna.messages.filter({
    hasText: "Not sent: A message has at most 2,000 characters; this one has 40,000.",
  });
  await refused.getByRole("button", { name: "Try again" }).click();
  await expectVisible(refused);
  await expectVisible(anna.chats.getByText("Not sent"));
  await refused.getByRole("button", { name: "Discard" }).click();
  await expectHidden(refused);
  await anna.page.reload();
  await expectVisible(anna.message("And one more thing"));
  assert.equal(await refused.count(), 0);
  assert.equal(await anna.page.getByText("Sending…").count(), 0);
});

test("an invitation code with a lone surrogate gives a clear error", async (fixture) => {
  const anna = await fixture.person("anna");
  await expectVisible(anna.chats);
  await anna.page.getByLabel("Invitation link or code").evaluate((field: HTMLInputElement) => {
    field.value = "half\ud83d";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await anna.button("Join").click();
  await expectVisible(anna.alert.filter({ hasText: "There is no such chat." }));
});

test("a search for more than 200 characters gives a clear error", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Hello");
  await anna.openChat(uri);
  await anna.button("Search").click();
  const field = anna.dialog("Search").getByRole("textbox");
  await field.fill("a".repeat(100_000));
  await field.press("Enter");
  await expectVisible(anna.alert.filter({ hasText: "Search for at most 200 characters." }));
  await field.fill("Hello");
  await field.press("Enter");
  await expectVisible(anna.dialog("Search").getByRole("listitem"));
  await expectHidden(anna.alert);
});

for (const [where, options] of Object.entries({
  "on a desk": { viewport: { width: 1200, height: 420 } },
  "on a phone": phone,
})) {
  test(`the page itself does not scroll, ${where}`, async (fixture) => {
    const [anna, ben] = await Promise.all([fixture.person("anna", options), fixture.visitor("ben")]);
    await ben.register();
    let uri = "";
    for (let n = 1; n <= 16; n++) {
      uri = await createChat(ben, anna);
      await ben.api.post(uri, `Note ${n}`);
    }
    for (let n = 1; n <= 40; n++) await ben.api.post(uri, `Chatter ${n}`);
    await anna.reloadChatList();
    await eventually(() => anna.chats.locator(".unread").count(), 16);
    assert.deepEqual(await scrollRange(anna.page), [0, 0, 0]);
    await anna.openChat(uri);
    await expectVisible(anna.message("Chatter 40"));
    assert.deepEqual(await scrollRange(anna.page), [0, 0, 0]);
    await anna.button("Members").click();
    await expectVisible(anna.dialog("Members"));
    assert.deepEqual(await scrollRange(anna.page), [0, 0, 0]);
    // The parent of each visually hidden element is its containing block.
    const strays = await anna.page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>(".visually-hidden")]
        .filter((element) => element.offsetParent !== null && element.offsetParent !== element.parentElement)
        .map((element) => element.outerHTML),
    );
    assert.deepEqual(strays, []);
  });
}

/** Simulates the responses for a chat of more than 100 members. */
async function simulateLargeChat(person: Person, uri: string, total: number, shown: number): Promise<void> {
  const { page, api } = person;
  const { members } = await api.chat(uri);
  const guest = (n: number) => ({
    id: 1_000_000 + n,
    username: `guest-${n}`,
    email: "",
    first_name: "",
    last_name: "",
  });
  const all = [...members, ...Array.from({ length: total - members.length }, (_, n) => guest(n + 1))].map((user) => ({
    ...user,
    email: "",
  }));
  const address = `/api/chats/${uri}/members?cursor=`;
  const part = (from: number) => {
    const end = from + shown;
    return { members: all.slice(from, end), next: end < total ? address + end : null };
  };
  await page.route(`**/api/chats/${uri}`, async (route) => {
    if (route.request().method() !== "GET") return route.continue();
    const response = await route.fetch();
    const { members: first, next } = part(0);
    const json = { ...(await response.json()), members: first, member_count: total, members_next: next };
    return route.fulfill({ response, json: { ...json, online: null, read: null } });
  });
  await page.route(`**${address}*`, (route) => {
    const from = Number(new URL(route.request().url()).searchParams.get("cursor"));
    return route.fulfill({ json: part(from), headers: { "Access-Control-Allow-Origin": "*" } });
  });
  await page.routeWebSocket(/./, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((message) => {
      const lines = String(message)
        .split("\n")
        .map((line) => {
          const frame = JSON.parse(line);
          if (frame.user) frame.user.email = "";
          for (const answer of frame.chats ?? [frame]) {
            if (answer.type === "subscribed") Object.assign(answer, { online: null, read: null });
          }
          return JSON.stringify(frame);
        });
      socket.send(lines.join("\n"));
    });
  });
}

test("a chat of more than 100 members shows no presence, and its members by page", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.visitor("anna"), fixture.visitor("ben")]);
  await Promise.all([anna.register(), ben.register()]);
  await anna.api.updateMe({ email: "anna@example.com" });
  const uri = await createChat(ben, anna);
  const { id } = await anna.api.post(uri, "Hello everybody");
  await ben.api.markRead(uri, id);
  await simulateLargeChat(anna, uri, 250, 100);
  await anna.visitAndLogIn();
  await anna.openChat(uri);
  await expectVisible(anna.message("Hello everybody"));
  await expectVisible(anna.main.getByRole("heading").filter({ hasText: `${ben.name}, guest-1, guest-2 and 246 more` }));
  await expectVisible(anna.chats.getByRole("link").filter({ hasText: "and 246 more" }));
  await anna.send("And another thing");
  await expectVisible(anna.message("And another thing"));
  await eventually(() => anna.page.getByText("Sending…").count(), 0);
  assert.equal(await anna.page.getByText(/Read by|online|offline/).count(), 0);

  await anna.button("Members").click();
  const dialog = anna.dialog("Members");
  const items = dialog.getByRole("listitem");
  await eventually(() => items.count(), 100);
  assert.equal(await dialog.getByText(/online|offline/).count(), 0);
  await expectVisible(dialog.getByText("100 of 250 members"));
  const more = dialog.getByRole("button", { name: "Show more" });
  await more.click();
  await eventually(() => items.count(), 200);
  assert.equal(await isFocused(more), true);
  await anna.page.route("**/members?*", (route) => route.fulfill({ status: 503, json: {} }), { times: 1 });
  await dialog.getByRole("button", { name: "Show more" }).click();
  await expectVisible(dialog.getByRole("alert").filter({ hasText: "Confab is busy." }));
  await dialog.getByRole("button", { name: "Show more" }).click();
  await eventually(() => items.count(), 250);
  await expectHidden(dialog.getByRole("button", { name: "Show more" }));
  await expectHidden(dialog.getByRole("alert"));
  await expectVisible(dialog.getByText("guest-248"));
  await anna.page.keyboard.press("Escape");

  // The user's own e-mail address is unaffected.
  await anna.button(`${anna.name}, your profile`).click();
  assert.equal(await anna.page.getByLabel("E-mail").inputValue(), "anna@example.com");
  await anna.page.reload();
  await anna.button(`${anna.name}, your profile`).click();
  assert.equal(await anna.page.getByLabel("E-mail").inputValue(), "anna@example.com");
  await anna.page.unrouteAll({ behavior: "ignoreErrors" });
});
