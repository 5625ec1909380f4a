/** The profile, the password, and the dialogs of the header. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import axe from "axe-core";
import { test } from "./fixture.js";
import { createChat, expectHidden, expectVisible } from "./person.js";

test("profile changes are shown in every tab", async (fixture) => {
  const anna = await fixture.person("anna");
  const other = await anna.page.context().newPage();
  await other.goto("/");
  await expectVisible(other.getByRole("banner").getByText(anna.name));
  await anna.button(`${anna.name}, your profile`).click();
  const form = anna.page.getByRole("dialog", { name: "Your profile" }).getByRole("form", { name: "Profile" });
  await form.getByLabel("First name").fill("Anna");
  await form.getByLabel("Last name").fill("Blum");
  // Valid for the browser, but not for the server.
  await form.getByLabel("E-mail").fill("anna@host");
  await form.getByRole("button", { name: "Save" }).click();
  await expectVisible(form.getByRole("alert").getByText("Enter a valid email address."));
  assert.equal(await form.getByLabel("E-mail").getAttribute("aria-invalid"), "true");
  await form.getByLabel("E-mail").fill("anna@example.com");
  await form.getByRole("button", { name: "Save" }).click();
  await expectVisible(form.getByRole("status").getByText("Your profile is saved."));
  await expectHidden(form.getByRole("alert"));
  const { first_name, last_name, email } = await anna.api.me();
  assert.deepEqual([first_name, last_name, email], ["Anna", "Blum", "anna@example.com"]);
  await anna.page.keyboard.press("Escape");
  await expectVisible(anna.button("Anna Blum, your profile"));
  await expectVisible(other.getByRole("banner").getByText("Anna Blum"));
  await anna.page.reload();
  await expectVisible(anna.button("Anna Blum, your profile"));
  await anna.button("Anna Blum, your profile").click();
  assert.equal(await form.getByLabel("E-mail").inputValue(), "anna@example.com");
});

test("a password change revokes all other tokens", async (fixture) => {
  const anna = await fixture.person("anna");
  const elsewhere = await fixture.secondBrowser(anna);
  await elsewhere.visitAndLogIn();
  await anna.button(`${anna.name}, your profile`).click();
  const form = anna.page.getByRole("dialog", { name: "Your profile" }).getByRole("form", { name: "Password" });
  await expectVisible(form.getByText("all your other sessions end"));
  const change = async (current: string, wanted: string) => {
    await form.getByLabel("Current password").fill(current);
    await form.getByLabel("New password").fill(wanted);
    await form.getByRole("button", { name: "Change password" }).click();
  };
  await change("not-the-password", "An0ther-pass-phrase");
  await expectVisible(form.getByRole("alert").getByText("Invalid password."));
  assert.equal(await form.getByLabel("Current password").getAttribute("aria-invalid"), "true");
  await change(anna.password, "short");
  await expectVisible(form.getByRole("alert").getByText("This password is too short."));
  await change(anna.password, "An0ther-pass-phrase");
  await expectVisible(form.getByRole("status").getByText("Your password is changed."));
  await elsewhere.alert.filter({ hasText: "You were logged out. Log in again." }).waitFor({ timeout: 20_000 });
  await elsewhere.logIn("An0ther-pass-phrase");
  await expectVisible(elsewhere.chats);
  await anna.page.reload();
  await expectVisible(anna.status("Connected"));
});

test("a user downloads their data, and deletes the account", async (fixture) => {
  const [anna, ben] = [await fixture.person("anna"), await fixture.person("ben")];
  const uri = await createChat(ben, anna);
  await anna.openChat(uri);
  await anna.send("mine");
  await ben.openChat(uri);
  await expectVisible(ben.main.getByText("mine"));
  await anna.button(`${anna.name}, your profile`).click();
  const dialog = anna.page.getByRole("dialog", { name: "Your profile" });
  const [download] = await Promise.all([
    anna.page.waitForEvent("download"),
    dialog.getByRole("button", { name: "Download your data" }).click(),
  ]);
  assert.equal(download.suggestedFilename(), `${anna.name}.jsonl`);
  const lines = (await readFile(await download.path(), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ type }) => type).sort(), ["chat", "message", "profile"]);

  await dialog.getByRole("button", { name: "Delete your account…" }).click();
  const form = dialog.getByRole("form", { name: "Delete your account" });
  await form.getByRole("button", { name: "Delete for ever" }).click();
  await expectVisible(form.getByText("This field may not be blank."));
  await form.getByLabel("Your password").fill(anna.password);
  await form.getByLabel("Delete all my messages, too").check();
  await form.getByRole("button", { name: "Delete for ever" }).click();
  await expectVisible(anna.page.getByText("Your account is deleted."));
  await expectHidden(ben.main.getByText("mine"));
  await ben.page.reload();
  await expectVisible(ben.main.getByText("Deleted user").first());
});

test("tokens are listed and revoked", async (fixture) => {
  const anna = await fixture.person("anna");
  const [phone, tablet] = [await fixture.secondBrowser(anna), await fixture.secondBrowser(anna)];
  await phone.visitAndLogIn();
  await anna.button(`${anna.name}, your profile`).click();
  const list = anna.page
    .getByRole("dialog", { name: "Your profile" })
    .getByRole("list", { name: "Where you are logged in" });
  const items = list.getByRole("listitem");
  // This browser, the other one, and the token of the test's own requests.
  await expectVisible(items.nth(2));
  const here = items.filter({ hasText: "This device" });
  await expectVisible(here.getByText("Chrome on Linux"));
  assert.equal(await here.getByRole("button").count(), 0);
  const there = items.filter({ hasText: "Last used: Today" }).filter({ hasText: "Chrome on Linux" });
  await there.getByRole("button", { name: "Log out Chrome on Linux" }).click();
  await expectHidden(there);
  await phone.alert.filter({ hasText: "You were logged out. Log in again." }).waitFor({ timeout: 20_000 });
  assert.equal(await items.count(), 2);

  await tablet.visitAndLogIn();
  await anna.button("Log out everywhere else").click();
  await anna.button("Log out everywhere else").click();
  await tablet.alert.filter({ hasText: "You were logged out. Log in again." }).waitFor({ timeout: 20_000 });
  await expectHidden(items.nth(1));
  await expectVisible(here);
});

test("a new username is shown at once, and logs in", async (fixture) => {
  const anna = await fixture.person("anna");
  const ben = await fixture.person("ben");
  await anna.button(`${anna.name}, your profile`).click();
  const form = anna.page.getByRole("dialog", { name: "Your profile" }).getByRole("form", { name: "Username" });
  const change = async (wanted: string, password: string) => {
    await form.getByLabel("New username").fill(wanted);
    await form.getByLabel("Current password").fill(password);
    await form.getByRole("button", { name: "Change username" }).click();
  };
  await change(ben.name, anna.password);
  await expectVisible(form.getByRole("alert").getByText("A user with that username already exists."));
  const name = `renamed-${anna.name}`;
  await change(name, "not-the-password");
  await expectVisible(form.getByRole("alert").getByText("Invalid password."));
  await change(name, anna.password);
  await expectVisible(form.getByRole("status").getByText("Your username is changed."));
  await anna.page.keyboard.press("Escape");
  await expectVisible(anna.button(`${name}, your profile`));
  assert.equal((await anna.api.me()).username, name);
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`axe-core: the dialogs of the header, ${colorScheme} mode`, async (fixture) => {
    const anna = await fixture.person("anna", { colorScheme });
    const look = async () => {
      await anna.page.evaluate(axe.source);
      return anna.page.evaluate(async () => {
        const { axe } = window as unknown as { axe: typeof import("axe-core") };
        const { violations } = await axe.run(document, { resultTypes: ["violations"] });
        return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 120)}`));
      });
    };
    assert.deepEqual(await look(), []);
    await anna.button(`${anna.name}, your profile`).click();
    const dialog = anna.page.getByRole("dialog", { name: "Your profile" });
    await expectVisible(dialog);
    assert.deepEqual(await look(), []);
    await dialog.getByLabel("E-mail").fill("anna@host");
    await dialog.getByRole("button", { name: "Save" }).click();
    await expectVisible(dialog.getByRole("alert"));
    assert.deepEqual(await look(), []);
    await anna.page.keyboard.press("Escape");

    const uri = await createChat(anna);
    await anna.openChat(uri);
    await anna.page.context().setOffline(true);
    await anna.send("Unsent");
    await anna.button("Log out").click();
    await expectVisible(anna.page.getByRole("dialog", { name: "Log out now?" }));
    assert.deepEqual(await look(), []);

    const waiting = await fixture.visitor("waiting", { colorScheme });
    await waiting.page.route("**/config.json", (route) => route.abort());
    await waiting.visit();
    await expectVisible(waiting.alert);
    await waiting.page.evaluate(axe.source);
    const found = await waiting.page.evaluate(async () => {
      const { axe } = window as unknown as { axe: typeof import("axe-core") };
      return (await axe.run(document, { resultTypes: ["violations"] })).violations.map(({ id }) => id);
    });
    assert.deepEqual(found, []);
  });
}
