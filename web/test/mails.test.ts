/** What mails lead to: a new password, and the activation of an account. Mails are read from the laptop cloud. */

import assert from "node:assert/strict";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { eventually, type Fixture, test } from "./fixture.js";
import { expectVisible, Person } from "./person.js";
import { serve } from "./server.js";

interface Mails {
  readonly mails: readonly { readonly text: string }[];
}

/** Waits for the mails to an address, and returns the link in the latest. */
async function linkIn(api: string, to: string, count: number): Promise<string> {
  const read = async () => ((await (await fetch(`${api}/_mail/api?to=${to}`)).json()) as Mails).mails;
  await eventually(async () => (await read()).length, count, "mails");
  const link = (await read())[0]?.text.match(/^http.*$/m)?.[0];
  assert.ok(link, "a link");
  return link;
}

async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    return (await axe.run(document, { resultTypes: ["violations"] })).violations.map(({ id }) => id);
  });
  assert.deepEqual(found, []);
}

async function withAddress(fixture: Fixture, name: string): Promise<[Person, string]> {
  const person = await fixture.visitor(name);
  await person.register();
  const email = `${person.name}@example.com`;
  await person.api.logIn(person.name, person.password);
  await person.api.updateMe({ email });
  return [person, email];
}

test("a forgotten password is reset by mail", async (fixture) => {
  const [anna, email] = await withAddress(fixture, "anna");
  await anna.visit();
  await anna.page.getByRole("link", { name: "Forgot password?" }).click();
  const request = anna.page.getByRole("form", { name: "Reset password" });
  await expectAccessible(anna.page);
  await request.getByLabel("E-mail").fill(email);
  await request.getByRole("button", { name: "Reset password" }).click();
  await expectVisible(request.getByRole("status").getByText("a mail is on its way"));

  const link = await linkIn(fixture.api, email, 1);
  await anna.page.goto(link);
  const form = anna.page.getByRole("form", { name: "Choose a new password" });
  await expectAccessible(anna.page);
  const choose = async (password: string) => {
    await form.getByLabel("New password").fill(password);
    await form.getByRole("button", { name: "Choose a new password" }).click();
  };
  await choose("short");
  await expectVisible(form.getByRole("alert").getByText("This password is too short."));
  await choose("An0ther-pass-phrase");
  await expectVisible(anna.alert.filter({ hasText: "Your password is changed" }));
  await anna.logIn("An0ther-pass-phrase");
  await expectVisible(anna.chats);

  // A link works once, also for who is logged in.
  await anna.page.goto(link);
  await choose("Yet-an0ther-phrase");
  await expectVisible(form.getByRole("alert").getByText("This link is not valid any more."));
});

test("an account is activated by mail", async (fixture) => {
  const server = await serve(["RequireActivation=yes"]);
  try {
    const context = await fixture.context({ baseURL: server.url });
    const anna = new Person(`anna-${Date.now()}`, server.api, await context.newPage());
    const email = `${anna.name}@example.com`;
    await anna.visit("#/register");
    const form = anna.page.getByRole("form", { name: "Register" });
    const register = () => form.getByRole("button", { name: "Register" }).click();
    await form.getByLabel("Username").fill(anna.name);
    await form.getByLabel("Password").fill(anna.password);
    await register();
    await expectVisible(form.getByRole("alert").getByText("An e-mail address is required"));
    await form.getByLabel("E-mail (optional)").fill(email);
    await register();
    await expectVisible(anna.alert.filter({ hasText: "Follow the link in the mail" }));
    await linkIn(server.api, email, 1);

    await anna.page.getByRole("link", { name: "Activate an account" }).click();
    const again = anna.page.getByRole("form", { name: "Send the mail again" });
    await again.getByLabel("E-mail").fill(email);
    await again.getByRole("button", { name: "Send the mail again" }).click();
    await expectVisible(again.getByRole("status").getByText("a mail is on its way"));
    await anna.page.goto(await linkIn(server.api, email, 2));
    await expectAccessible(anna.page);
    await anna.button("Activate your account").click();
    await expectVisible(anna.alert.filter({ hasText: "Your account is active." }));
    await anna.logIn();
    await expectVisible(anna.chats);
  } finally {
    await server.stop();
  }
});
