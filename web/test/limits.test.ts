/** Limits: unsendable text, long lists, large chats. */

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { chat, isFocused, misses, type Person, sees } from "./person.js";
import { eventually, phone, test } from "./stage.js";

const texts = async (person: Person, uri: string) =>
  (await person.api.history(uri)).messages.map(({ message }) => message);

/** How far the page itself can be scrolled, in pixels. */
const scrolls = (page: Page) =>
  page.evaluate(() => {
    scrollTo(0, 100_000);
    return [scrollX, scrollY, document.documentElement.scrollHeight - innerHeight];
  });

test("a lone surrogate is sent as U+FFFD", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.open(uri);
  // As an extension does that cuts text by UTF-16 units.
  await anna.composer.evaluate((field: HTMLTextAreaElement) => {
    field.value = "cut off \ud83d";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await anna.composer.press("Enter");
  await anna.write("Two");
  await eventually(() => texts(anna, uri), ["cut off \ufffd", "Two"]);
  await eventually(() => anna.page.getByText("Sending…").count(), 0);
  await sees(anna.message("cut off \ufffd"));
  await anna.act("Two", "Edit");
  await anna.composer.evaluate((field: HTMLTextAreaElement) => {
    field.value = "\udc4d Three";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await anna.button("Save").click();
  await eventually(() => texts(anna, uri), ["cut off \ufffd", "\ufffd Three"]);
});

test("unsendable messages that an earlier version stored do not block others", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
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
  await anna.open(uri);
  await eventually(() => texts(anna, uri), ["cut off \ufffd", "And one more thing"]);
  const refused = anna.messages.filter({
    hasText: "Not sent: A message has at most 2,000 characters; this one has 40,000.",
  });
  await refused.getByRole("button", { name: "Try again" }).click();
  await sees(refused);
  await sees(anna.chats.getByText("Not sent"));
  await refused.getByRole("button", { name: "Discard" }).click();
  await misses(refused);
  await anna.page.reload();
  await sees(anna.message("And one more thing"));
  assert.equal(await refused.count(), 0);
  assert.equal(await anna.page.getByText("Sending…").count(), 0);
});

test("an invitation code with a lone surrogate gives a clear error", async (stage) => {
  const anna = await stage.person("anna");
  await sees(anna.chats);
  await anna.page.getByLabel("Invitation link or code").evaluate((field: HTMLInputElement) => {
    field.value = "half\ud83d";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await anna.button("Join").click();
  await sees(anna.alert.filter({ hasText: "There is no such chat." }));
});

test("a search for more than 200 characters gives a clear error", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.api.post(uri, "Hello");
  await anna.open(uri);
  await anna.button("Search").click();
  const field = anna.dialog("Search").getByRole("textbox");
  await field.fill("a".repeat(100_000));
  await field.press("Enter");
  await sees(anna.alert.filter({ hasText: "Search for at most 200 characters." }));
  await field.fill("Hello");
  await field.press("Enter");
  await sees(anna.dialog("Search").getByRole("listitem"));
  await misses(anna.alert);
});

for (const [where, options] of Object.entries({
  "on a desk": { viewport: { width: 1200, height: 420 } },
  "on a phone": phone,
})) {
  test(`the page itself does not scroll, ${where}`, async (stage) => {
    const [anna, ben] = await Promise.all([stage.person("anna", options), stage.visitor("ben")]);
    await ben.register();
    let uri = "";
    for (let n = 1; n <= 16; n++) {
      uri = await chat(ben, anna);
      await ben.api.post(uri, `Note ${n}`);
    }
    for (let n = 1; n <= 40; n++) await ben.api.post(uri, `Chatter ${n}`);
    await anna.list();
    await eventually(() => anna.chats.locator(".unread").count(), 16);
    assert.deepEqual(await scrolls(anna.page), [0, 0, 0]);
    await anna.open(uri);
    await sees(anna.message("Chatter 40"));
    assert.deepEqual(await scrolls(anna.page), [0, 0, 0]);
    await anna.button("Members").click();
    await sees(anna.dialog("Members"));
    assert.deepEqual(await scrolls(anna.page), [0, 0, 0]);
    // The parent of each visually hidden element is its containing block.
    const strays = await anna.page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>(".unseen")]
        .filter((element) => element.offsetParent !== null && element.offsetParent !== element.parentElement)
        .map((element) => element.outerHTML),
    );
    assert.deepEqual(strays, []);
  });
}

/** Replaces answers with those for a chat of more than 100 members. */
async function crowd(person: Person, uri: string, total: number, shown: number): Promise<void> {
  const { page, api } = person;
  const { members } = await api.show(uri);
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
  const address = `/api/chats/${uri}/members/?cursor=`;
  const part = (from: number) => {
    const end = from + shown;
    return { members: all.slice(from, end), next: end < total ? address + end : null };
  };
  await page.route(`**/api/chats/${uri}/`, async (route) => {
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
          return JSON.stringify(frame.type === "subscribed" ? { ...frame, online: null, read: null } : frame);
        });
      socket.send(lines.join("\n"));
    });
  });
}

test("a chat of more than 100 members shows no presence, and its members by page", async (stage) => {
  const [anna, ben] = await Promise.all([stage.visitor("anna"), stage.visitor("ben")]);
  await Promise.all([anna.register(), ben.register()]);
  await anna.api.changeMe({ email: "anna@example.com" });
  const uri = await chat(ben, anna);
  const { id } = await anna.api.post(uri, "Hello everybody");
  await ben.api.markRead(uri, id);
  await crowd(anna, uri, 250, 100);
  await anna.arrive();
  await anna.open(uri);
  await sees(anna.message("Hello everybody"));
  await sees(anna.main.getByRole("heading").filter({ hasText: `${ben.name}, guest-1, guest-2 and 246 more` }));
  await sees(anna.chats.getByRole("link").filter({ hasText: "and 246 more" }));
  await anna.write("And another thing");
  await sees(anna.message("And another thing"));
  await eventually(() => anna.page.getByText("Sending…").count(), 0);
  assert.equal(await anna.page.getByText(/Read by|online|offline/).count(), 0);

  await anna.button("Members").click();
  const dialog = anna.dialog("Members");
  const items = dialog.getByRole("listitem");
  await eventually(() => items.count(), 100);
  assert.equal(await dialog.getByText(/online|offline/).count(), 0);
  await sees(dialog.getByText("100 of 250 members"));
  const more = dialog.getByRole("button", { name: "Show more" });
  await more.click();
  await eventually(() => items.count(), 200);
  assert.equal(await isFocused(more), true);
  await anna.page.route("**/members/*", (route) => route.fulfill({ status: 503, json: {} }), { times: 1 });
  await dialog.getByRole("button", { name: "Show more" }).click();
  await sees(dialog.getByRole("alert").filter({ hasText: "Confab is busy." }));
  await dialog.getByRole("button", { name: "Show more" }).click();
  await eventually(() => items.count(), 250);
  await misses(dialog.getByRole("button", { name: "Show more" }));
  await misses(dialog.getByRole("alert"));
  await sees(dialog.getByText("guest-248"));
  await anna.page.keyboard.press("Escape");

  // The own e-mail address is unaffected.
  await anna.button(`${anna.name}, your profile`).click();
  assert.equal(await anna.page.getByLabel("E-mail").inputValue(), "anna@example.com");
  await anna.page.reload();
  await anna.button(`${anna.name}, your profile`).click();
  assert.equal(await anna.page.getByLabel("E-mail").inputValue(), "anna@example.com");
  await anna.page.unrouteAll({ behavior: "ignoreErrors" });
});
