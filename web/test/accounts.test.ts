/** Registration, login and logout, and expired tokens. */

import assert from "node:assert/strict";
import { eventually, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible, type Person } from "./person.js";

const KEY = "confab.session";

/** Logs a person in with the browser of another. */
async function logInAs(person: Person, browser: Person): Promise<void> {
  const form = browser.page.getByRole("form", { name: "Log in" });
  await form.getByLabel("Username").fill(person.name);
  await form.getByLabel("Password").fill(person.password);
  await form.getByRole("button", { name: "Log in" }).click();
  await expectVisible(browser.page.getByRole("banner").getByText(person.name));
}

const hashOf = (person: Person) => person.page.evaluate(() => location.hash);

test("registration, logout and login", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.visit();
  await anna.page.getByRole("form", { name: "Log in" }).waitFor();
  await anna.page.getByRole("link", { name: "Register" }).click();
  const form = anna.page.getByRole("form", { name: "Register" });
  await form.getByLabel("Username").fill(anna.name);
  await form.getByLabel("E-mail (optional)").fill("anna@example.com");
  await form.getByLabel("Password").fill(anna.password);
  await form.getByRole("button", { name: "Register" }).click();
  await expectVisible(anna.chats);
  await expectVisible(anna.page.getByRole("banner").getByText(anna.name));
  await expectVisible(anna.status("Connected"));

  await anna.button("Log out").click();
  await expectVisible(anna.page.getByRole("form", { name: "Log in" }));
  await expectHidden(anna.alert);
  await expectHidden(anna.chats);
  await anna.logIn();
  await expectVisible(anna.chats);
});

test("a wrong password gives a clear error, and the username stays", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  await anna.visit();
  await anna.logIn("not-the-password");
  await expectVisible(anna.alert.filter({ hasText: /password/i }));
  const form = anna.page.getByRole("form", { name: "Log in" });
  assert.equal(await form.getByLabel("Username").inputValue(), anna.name);
  await anna.logIn();
  await expectVisible(anna.chats);
});

test("a taken username is reported at its field", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  await anna.visit("#/register");
  const form = anna.page.getByRole("form", { name: "Register" });
  await form.getByLabel("Username").fill(anna.name);
  await form.getByLabel("Password").fill("An0ther-pass-phrase");
  await form.getByRole("button", { name: "Register" }).click();
  const described = () =>
    form.getByLabel("Username").evaluate((field) =>
      (field.getAttribute("aria-describedby") ?? "")
        .split(" ")
        .map((id) => document.getElementById(id)?.textContent?.trim())
        .join(" "),
    );
  await eventually(async () => /already exists|taken/.test(await described()), true);
});

test("after logging in, the requested page is shown", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  const uri = await createChat(anna);
  await anna.api.post(uri, "A note to myself");
  await anna.visit(`#/chats/${uri}`);
  await anna.logIn();
  await expectVisible(anna.message("A note to myself"));
});

test("an expired token redirects to the login, and after it back to the page", async (fixture) => {
  const anna = await fixture.person("anna");
  const token = anna.page
    .waitForRequest((request) => request.headers().authorization?.startsWith("Token ") === true)
    .then((request) => request.headers().authorization ?? "");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Before");
  await anna.openChat(uri);
  await expectVisible(anna.message("Before"));

  const answer = await fetch(`${fixture.api}/auth/token/destroy`, {
    method: "POST",
    headers: { Authorization: await token },
  });
  assert.equal(answer.status, 204);
  await expectVisible(anna.alert.filter({ hasText: "You were logged out. Log in again." }));
  await anna.logIn();
  await expectVisible(anna.message("Before"));
  await expectHidden(anna.alert);
  await anna.send("After");
  await eventually(
    async () => (await anna.api.history(uri)).messages.map(({ message }) => message),
    ["Before", "After"],
  );
});

test("logging out in one tab logs out the others", async (fixture) => {
  const anna = await fixture.person("anna");
  const other = await anna.page.context().newPage();
  await other.goto("/");
  await expectVisible(other.getByRole("button", { name: "Log out" }));
  await anna.button("Log out").click();
  await expectVisible(other.getByRole("form", { name: "Log in" }));
});

test("the next user of a browser sees nothing of the user before", async (fixture) => {
  const anna = await fixture.person("anna");
  const ben = await fixture.visitor("ben");
  await ben.register();
  const uri = await createChat(anna);
  await anna.api.post(uri, "Anna's own");
  await anna.openChat(uri);
  await expectVisible(anna.message("Anna's own"));
  await anna.button("Log out").click();

  const form = anna.page.getByRole("form", { name: "Log in" });
  await form.getByLabel("Username").fill(ben.name);
  await form.getByLabel("Password").fill(ben.password);
  await form.getByRole("button", { name: "Log in" }).click();
  await expectVisible(anna.page.getByRole("banner").getByText(ben.name));
  await anna.visit();
  await expectVisible(anna.chats);
  await expectHidden(anna.page.getByText("Anna's own"));
});

test("a suspended tab does not log out a user who logged in meanwhile", async (fixture) => {
  const anna = await fixture.person("anna");
  const ben = await fixture.visitor("ben");
  await ben.register();
  const other = await anna.page.context().newPage();
  // Events that are dispatched while a tab is suspended arrive when it resumes.
  await other.addInitScript(() => {
    const tab = Object.assign(window, { isSuspended: false, missed: [] as StorageEvent[] });
    addEventListener("storage", (event) => {
      if (!tab.isSuspended) return;
      event.stopImmediatePropagation();
      tab.missed.push(event);
    });
  });
  await other.goto("/");
  await expectVisible(other.getByRole("banner").getByText(anna.name));
  const missed = () => other.evaluate(() => (window as unknown as { missed: StorageEvent[] }).missed.length);
  await other.evaluate(() => Object.assign(window, { isSuspended: true }));
  await anna.button("Log out").click();
  await logInAs(ben, anna);
  await eventually(missed, 2);
  await other.evaluate(() => {
    const tab = window as unknown as { isSuspended: boolean; missed: StorageEvent[] };
    tab.isSuspended = false;
    const [first] = tab.missed;
    if (first) dispatchEvent(new StorageEvent("storage", { key: first.key, newValue: first.newValue }));
  });
  await expectVisible(other.getByRole("banner").getByText(ben.name));
  await expectVisible(anna.page.getByRole("banner").getByText(ben.name));
  assert.notEqual(await anna.page.evaluate((key) => localStorage.getItem(key), KEY), null);
});

test("the requested page of one user is not shown to another", async (fixture) => {
  const anna = await fixture.person("anna");
  const ben = await fixture.visitor("ben");
  await ben.register();
  const uri = await createChat(anna);
  const other = await fixture.secondBrowser(ben);
  const page = await anna.page.context().newPage();
  const second = Object.assign(Object.create(other), { page }) as Person;
  await second.openChat(uri);
  await anna.button("Log out").click();
  await logInAs(ben, second);
  await expectVisible(second.chats);
  await eventually(() => hashOf(second), "#/");
});

test("logging out with unsent messages requires confirmation", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.openChat(uri);
  await anna.page.context().setOffline(true);
  await anna.send("Written in a tunnel");
  await expectVisible(anna.message("Written in a tunnel").getByText("Sending…"));
  const dialog = anna.page.getByRole("dialog", { name: "Log out now?" });
  await anna.button("Log out").click();
  await expectVisible(
    dialog.getByText(
      `1 message is not sent yet. It stays in this browser, for when you log in here again as ${anna.name}.`,
    ),
  );
  await dialog.getByRole("button", { name: "Stay" }).click();
  await expectHidden(dialog);
  await expectVisible(anna.message("Written in a tunnel"));
  await anna.button("Log out").click();
  await dialog.getByRole("button", { name: "Log out anyway" }).click();
  await expectVisible(anna.page.getByRole("form", { name: "Log in" }));
  assert.deepEqual((await anna.api.history(uri)).messages, []);
  await anna.page.context().setOffline(false);
  await anna.logIn();
  await eventually(
    async () => (await anna.api.history(uri)).messages.map(({ message }) => message),
    ["Written in a tunnel"],
  );
});

test("a failed login after a registration does not report a taken username", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.page.route("**/auth/token/create", (route) =>
    route.fulfill({ status: 500, json: { detail: "A server error." } }),
  );
  await anna.visit("#/register");
  const form = anna.page.getByRole("form", { name: "Register" });
  await form.getByLabel("Username").fill(anna.name);
  await form.getByLabel("Password").fill(anna.password);
  await form.getByRole("button", { name: "Register" }).click();
  await expectVisible(
    anna.alert.getByText("Your account is made, but you are not logged in yet. Confab is busy. Try again in a moment."),
  );
  await anna.page.unroute("**/auth/token/create");
  await form.getByRole("button", { name: "Register" }).click();
  await expectVisible(anna.page.getByRole("banner").getByText(anna.name));
});

test("a rate-limited login says when to retry", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.page.route("**/auth/token/create", (route) =>
    route.fulfill({
      status: 429,
      headers: { "Retry-After": "30" },
      json: { detail: "Request was throttled. Expected available in 30 seconds." },
    }),
  );
  await anna.visit();
  await anna.logIn("whatever");
  await eventually(
    async () => (await anna.alert.allInnerTexts()).join(),
    "That was too often. Try again in 30 seconds.",
  );
});

test("a bug in the page is not reported as a network error, and stays visible", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.page.addInitScript(() => {
    const { stringify } = JSON;
    JSON.stringify = (value: unknown) => {
      if (Object(value).password) throw new TypeError("a bug in the page");
      return stringify(value);
    };
  });
  await anna.visit();
  await anna.logIn("whatever");
  await expectVisible(anna.alert.filter({ hasText: "Something went wrong in this page." }));
  await eventually(async () => fixture.errors.some((error) => error.includes("a bug in the page")), true);
  fixture.errors.length = 0;
});

test("a user who navigates while joining is not sent to the chat", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(ben);
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  await anna.page.route(`**/api/chats/${uri}`, async (route) => {
    await held;
    await route.continue();
  });
  const joined = anna.page.waitForResponse((response) => response.request().method() === "PATCH");
  await anna.visit(`#/join/${uri}`);
  await expectVisible(anna.main.getByText("Joining…"));
  await anna.visit("#/");
  await expectHidden(anna.main.getByText("Joining…"));
  release();
  await (await joined).finished();
  // The list shows the new chat anyway; by then the response has arrived.
  await expectVisible(anna.chatWith(ben));
  assert.equal(await hashOf(anna), "#/");
});
