/** Getting an account, logging in and out, and tokens that are no good any more. */

import assert from "node:assert/strict";
import axe from "axe-core";
import { chat, misses, type Person, sees } from "./person.js";
import { eventually, test } from "./stage.js";

const KEY = "confab.session";

/** Somebody else logs in with a browser that is somebody's. */
async function logInAs(person: Person, browser: Person): Promise<void> {
  const form = browser.page.getByRole("form", { name: "Log in" });
  await form.getByLabel("Username").fill(person.name);
  await form.getByLabel("Password").fill(person.password);
  await form.getByRole("button", { name: "Log in" }).click();
  await sees(browser.page.getByRole("banner").getByText(person.name));
}

const hashOf = (person: Person) => person.page.evaluate(() => location.hash);

test("one registers, logs out and logs in", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.visit();
  await anna.page.getByRole("form", { name: "Log in" }).waitFor();
  await anna.page.getByRole("link", { name: "Register" }).click();
  const form = anna.page.getByRole("form", { name: "Register" });
  await form.getByLabel("Username").fill(anna.name);
  await form.getByLabel("E-mail (optional)").fill("anna@example.com");
  await form.getByLabel("Password").fill(anna.password);
  await form.getByRole("button", { name: "Register" }).click();
  await sees(anna.chats);
  await sees(anna.page.getByRole("banner").getByText(anna.name));
  await sees(anna.status("Connected"));

  await anna.button("Log out").click();
  await sees(anna.page.getByRole("form", { name: "Log in" }));
  await misses(anna.alert);
  await misses(anna.chats);
  await anna.logIn();
  await sees(anna.chats);
});

test("one stays logged in when the page is loaded again", async (stage) => {
  const anna = await stage.person("anna");
  await anna.page.reload();
  await sees(anna.button("Log out"));
  await sees(anna.status("Connected"));
});

test("a wrong password says what to do, and the name stays", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  await anna.visit();
  await anna.logIn("not-the-password");
  await sees(anna.alert.filter({ hasText: /password/i }));
  const form = anna.page.getByRole("form", { name: "Log in" });
  assert.equal(await form.getByLabel("Username").inputValue(), anna.name);
  await anna.logIn();
  await sees(anna.chats);
});

test("a name that somebody has is said beside its field", async (stage) => {
  const anna = await stage.visitor("anna");
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

test("who is not logged in gets where they wanted to go after logging in", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  const uri = await chat(anna);
  await anna.api.post(uri, "A note to myself");
  await anna.visit(`#/chats/${uri}`);
  await anna.logIn();
  await sees(anna.message("A note to myself"));
});

test("a token that has expired leads to the login, and from there back to where one was", async (stage) => {
  const anna = await stage.person("anna");
  const token = anna.page
    .waitForRequest((request) => request.headers().authorization?.startsWith("Token ") === true)
    .then((request) => request.headers().authorization ?? "");
  const uri = await chat(anna);
  await anna.api.post(uri, "Before");
  await anna.open(uri);
  await sees(anna.message("Before"));

  const answer = await fetch(`${stage.api}/auth/token/destroy/`, {
    method: "POST",
    headers: { Authorization: await token },
  });
  assert.equal(answer.status, 204);
  await sees(anna.alert.filter({ hasText: "You were logged out. Log in again." }));
  await anna.logIn();
  await sees(anna.message("Before"));
  await misses(anna.alert);
  await anna.write("After");
  await eventually(
    async () => (await anna.api.history(uri)).messages.map(({ message }) => message),
    ["Before", "After"],
  );
});

test("logging out in one tab is noticed in the other", async (stage) => {
  const anna = await stage.person("anna");
  const other = await anna.page.context().newPage();
  await other.goto("/");
  await sees(other.getByRole("button", { name: "Log out" }));
  await anna.button("Log out").click();
  await sees(other.getByRole("form", { name: "Log in" }));
});

test("what somebody else left behind on this computer is not mixed with one's own", async (stage) => {
  const anna = await stage.person("anna");
  const ben = await stage.visitor("ben");
  await ben.register();
  const uri = await chat(anna);
  await anna.api.post(uri, "Anna's own");
  await anna.open(uri);
  await sees(anna.message("Anna's own"));
  await anna.button("Log out").click();

  const form = anna.page.getByRole("form", { name: "Log in" });
  await form.getByLabel("Username").fill(ben.name);
  await form.getByLabel("Password").fill(ben.password);
  await form.getByRole("button", { name: "Log in" }).click();
  await sees(anna.page.getByRole("banner").getByText(ben.name));
  await anna.visit();
  await sees(anna.chats);
  await misses(anna.page.getByText("Anna's own"));
});

test("what is kept and cannot be read leads to the login, and is replaced there", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  await anna.visit();
  const user = { id: "1", username: "anna", email: "", first_name: "", last_name: "" };
  for (const kept of [
    "{",
    "null",
    "7",
    '{"token":"0"}',
    JSON.stringify({ token: "0", user }),
    '{"token":"a b","user":{}}',
  ]) {
    await anna.page.evaluate(([key, value]) => localStorage.setItem(key, value), [KEY, kept] as const);
    await anna.page.reload();
    await sees(anna.page.getByRole("form", { name: "Log in" }));
    assert.equal(await anna.page.evaluate((key) => localStorage.getItem(key), KEY), null);
  }
  await anna.logIn();
  await anna.page.reload();
  await sees(anna.chats);
});

test("messages that were left behind and are none do not keep the page from being shown", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.page.evaluate((key) => {
    const { id } = JSON.parse(localStorage.getItem(key) ?? "").user;
    for (const [name, value] of Object.entries({ a: "null", b: "{", c: "[]" })) {
      localStorage.setItem(`confab.outbox.${id}.${name}`, value);
    }
  }, KEY);
  await anna.page.reload();
  await anna.open(uri);
  await anna.write("Hello");
  await eventually(async () => (await anna.api.history(uri)).messages.map(({ message }) => message), ["Hello"]);
});

test("where nothing may be kept, one chats for as long as the page is there", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  const uri = await chat(anna);
  await anna.page.addInitScript(() => {
    Object.defineProperty(window, "localStorage", {
      get() {
        throw new DOMException("It is forbidden.", "SecurityError");
      },
    });
  });
  await anna.arrive();
  await anna.open(uri);
  await anna.write("Hello");
  await eventually(async () => (await anna.api.history(uri)).messages.map(({ message }) => message), ["Hello"]);
  await anna.button("Log out").click();
  await sees(anna.page.getByRole("form", { name: "Log in" }));
  await anna.logIn();
});

test("a full storage keeps nobody from logging in", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  await anna.page.addInitScript(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException("It is full.", "QuotaExceededError");
    };
  });
  await anna.arrive();
  await sees(anna.status("Connected"));
});

test("a tab that wakes late does not log out who has logged in meanwhile", async (stage) => {
  const anna = await stage.person("anna");
  const ben = await stage.visitor("ben");
  await ben.register();
  const other = await anna.page.context().newPage();
  // What it is told while it sleeps reaches it when it is awake again.
  await other.addInitScript(() => {
    const sleeper = Object.assign(window, { asleep: false, missed: [] as StorageEvent[] });
    addEventListener("storage", (event) => {
      if (!sleeper.asleep) return;
      event.stopImmediatePropagation();
      sleeper.missed.push(event);
    });
  });
  await other.goto("/");
  await sees(other.getByRole("banner").getByText(anna.name));
  const missed = () => other.evaluate(() => (window as unknown as { missed: StorageEvent[] }).missed.length);
  await other.evaluate(() => Object.assign(window, { asleep: true }));
  await anna.button("Log out").click();
  await logInAs(ben, anna);
  await eventually(missed, 2);
  await other.evaluate(() => {
    const sleeper = window as unknown as { asleep: boolean; missed: StorageEvent[] };
    sleeper.asleep = false;
    const [first] = sleeper.missed;
    if (first) dispatchEvent(new StorageEvent("storage", { key: first.key, newValue: first.newValue }));
  });
  await sees(other.getByRole("banner").getByText(ben.name));
  await sees(anna.page.getByRole("banner").getByText(ben.name));
  assert.notEqual(await anna.page.evaluate((key) => localStorage.getItem(key), KEY), null);
});

test("where somebody wanted to go is not where somebody else is led", async (stage) => {
  const anna = await stage.person("anna");
  const ben = await stage.visitor("ben");
  await ben.register();
  const uri = await chat(anna);
  const other = await stage.as(ben);
  const page = await anna.page.context().newPage();
  const second = Object.assign(Object.create(other), { page }) as Person;
  await second.open(uri);
  await anna.button("Log out").click();
  await logInAs(ben, second);
  await sees(second.chats);
  await eventually(() => hashOf(second), "#/");
});

test("who logs out with messages unsent is told so, and can stay", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.open(uri);
  await anna.page.context().setOffline(true);
  await anna.write("Written in a tunnel");
  await sees(anna.message("Written in a tunnel").getByText("Sending…"));
  const dialog = anna.page.getByRole("dialog", { name: "Log out now?" });
  await anna.button("Log out").click();
  await sees(
    dialog.getByText(
      `1 message is not sent yet. It stays in this browser, for when you log in here again as ${anna.name}.`,
    ),
  );
  await dialog.getByRole("button", { name: "Stay" }).click();
  await misses(dialog);
  await sees(anna.message("Written in a tunnel"));
  await anna.button("Log out").click();
  await dialog.getByRole("button", { name: "Log out anyway" }).click();
  await sees(anna.page.getByRole("form", { name: "Log in" }));
  assert.deepEqual((await anna.api.history(uri)).messages, []);
  await anna.page.context().setOffline(false);
  await anna.logIn();
  await eventually(
    async () => (await anna.api.history(uri)).messages.map(({ message }) => message),
    ["Written in a tunnel"],
  );
});

test("an account that is made but not logged in with is not said to be somebody else's", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.page.route("**/auth/token/create/", (route) =>
    route.fulfill({ status: 500, json: { detail: "A server error." } }),
  );
  await anna.visit("#/register");
  const form = anna.page.getByRole("form", { name: "Register" });
  await form.getByLabel("Username").fill(anna.name);
  await form.getByLabel("Password").fill(anna.password);
  await form.getByRole("button", { name: "Register" }).click();
  await sees(
    anna.alert.getByText("Your account is made, but you are not logged in yet. Confab is busy. Try again in a moment."),
  );
  await anna.page.unroute("**/auth/token/create/");
  await form.getByRole("button", { name: "Register" }).click();
  await sees(anna.page.getByRole("banner").getByText(anna.name));
});

test("who tries too often is told once when to try again", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.page.route("**/auth/token/create/", (route) =>
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

test("a fault of the page's own is not said to be the network's, and is not hidden", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.page.addInitScript(() => {
    const { stringify } = JSON;
    JSON.stringify = (value: unknown) => {
      if (Object(value).password) throw new TypeError("a fault of the page's own");
      return stringify(value);
    };
  });
  await anna.visit();
  await anna.logIn("whatever");
  await sees(anna.alert.filter({ hasText: "Something went wrong in this page." }));
  await eventually(async () => stage.faults.some((fault) => fault.includes("a fault of the page's own")), true);
  stage.faults.length = 0;
});

test("who has gone elsewhere before they are in a chat is not fetched back", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.visitor("ben")]);
  await ben.register();
  const uri = await chat(ben);
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  await anna.page.route(`**/api/chats/${uri}/`, async (route) => {
    await held;
    await route.continue();
  });
  const joined = anna.page.waitForResponse((response) => response.request().method() === "PATCH");
  await anna.visit(`#/join/${uri}`);
  await sees(anna.main.getByText("Joining…"));
  await anna.visit("#/");
  await misses(anna.main.getByText("Joining…"));
  release();
  await (await joined).finished();
  // That one is in it is told to the list anyway; by then the answer has been seen.
  await sees(anna.chatWith(ben));
  assert.equal(await hashOf(anna), "#/");
});

test("where the server is is asked again until it is known, and the page says so", async (stage) => {
  const anna = await stage.visitor("anna");
  await anna.register();
  const answers = ["abort", "busy", "broken", "wrong"];
  await anna.page.route("**/config.json", async (route) => {
    const answer = answers.shift();
    if (answer === "abort") return route.abort();
    if (answer === "busy") return route.fulfill({ status: 503, contentType: "text/html", body: "<h1>Busy</h1>" });
    if (answer === "broken") return route.fulfill({ contentType: "application/json", body: '{"api": ' });
    if (answer === "wrong") return route.fulfill({ json: { api: 7 } });
    return route.continue();
  });
  await anna.visit();
  await sees(anna.alert.filter({ hasText: "this page tries again by itself" }));
  await sees(anna.page.getByRole("form", { name: "Log in" }));
  assert.deepEqual(answers, []);
  await anna.logIn();
});

test("without a file that says where the server is, it is where the page is from", async (stage) => {
  const anna = await stage.visitor("anna");
  for (const answer of [{ status: 404 }, { status: 403 }, { contentType: "text/html", body: "<!doctype html>" }]) {
    await anna.page.route("**/config.json", (route) => route.fulfill(answer));
    await anna.visit();
    await anna.page.reload();
    await sees(anna.page.getByRole("form", { name: "Log in" }));
    assert.equal(await anna.alert.count(), 0);
    await anna.page.unroute("**/config.json");
  }
});

test("one changes one's name and e-mail, and every tab shows it", async (stage) => {
  const anna = await stage.person("anna");
  const other = await anna.page.context().newPage();
  await other.goto("/");
  await sees(other.getByRole("banner").getByText(anna.name));
  await anna.button(`${anna.name}, your profile`).click();
  const form = anna.page.getByRole("dialog", { name: "Your profile" }).getByRole("form", { name: "Profile" });
  await form.getByLabel("First name").fill("Anna");
  await form.getByLabel("Last name").fill("Blum");
  // The browser finds nothing wrong with it.
  await form.getByLabel("E-mail").fill("anna@host");
  await form.getByRole("button", { name: "Save" }).click();
  await sees(form.getByRole("alert").getByText("Enter a valid email address."));
  assert.equal(await form.getByLabel("E-mail").getAttribute("aria-invalid"), "true");
  await form.getByLabel("E-mail").fill("anna@example.com");
  await form.getByRole("button", { name: "Save" }).click();
  await sees(form.getByRole("status").getByText("Your profile is saved."));
  await misses(form.getByRole("alert"));
  const { first_name, last_name, email } = await anna.api.me();
  assert.deepEqual([first_name, last_name, email], ["Anna", "Blum", "anna@example.com"]);
  await anna.page.keyboard.press("Escape");
  await sees(anna.button("Anna Blum, your profile"));
  await sees(other.getByRole("banner").getByText("Anna Blum"));
  await anna.page.reload();
  await sees(anna.button("Anna Blum, your profile"));
  await anna.button("Anna Blum, your profile").click();
  assert.equal(await form.getByLabel("E-mail").inputValue(), "anna@example.com");
});

test("one changes one's password, which ends all other sessions", async (stage) => {
  const anna = await stage.person("anna");
  const elsewhere = await stage.as(anna);
  await elsewhere.arrive();
  await anna.button(`${anna.name}, your profile`).click();
  const form = anna.page.getByRole("dialog", { name: "Your profile" }).getByRole("form", { name: "Password" });
  await sees(form.getByText("all your other sessions end"));
  const change = async (current: string, wanted: string) => {
    await form.getByLabel("Current password").fill(current);
    await form.getByLabel("New password").fill(wanted);
    await form.getByRole("button", { name: "Change password" }).click();
  };
  await change("not-the-password", "An0ther-pass-phrase");
  await sees(form.getByRole("alert").getByText("Invalid password."));
  assert.equal(await form.getByLabel("Current password").getAttribute("aria-invalid"), "true");
  await change(anna.password, "short");
  await sees(form.getByRole("alert").getByText("This password is too short."));
  await change(anna.password, "An0ther-pass-phrase");
  await sees(form.getByRole("status").getByText("Your password is changed."));
  await elsewhere.alert.filter({ hasText: "You were logged out. Log in again." }).waitFor({ timeout: 20_000 });
  await elsewhere.logIn("An0ther-pass-phrase");
  await sees(elsewhere.chats);
  await anna.page.reload();
  await sees(anna.status("Connected"));
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`axe-core finds nothing wrong in the dialogs of the banner, ${colorScheme}`, async (stage) => {
    const anna = await stage.person("anna", { colorScheme });
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
    await sees(dialog);
    assert.deepEqual(await look(), []);
    await dialog.getByLabel("E-mail").fill("anna@host");
    await dialog.getByRole("button", { name: "Save" }).click();
    await sees(dialog.getByRole("alert"));
    assert.deepEqual(await look(), []);
    await anna.page.keyboard.press("Escape");

    const uri = await chat(anna);
    await anna.open(uri);
    await anna.page.context().setOffline(true);
    await anna.write("Unsent");
    await anna.button("Log out").click();
    await sees(anna.page.getByRole("dialog", { name: "Log out now?" }));
    assert.deepEqual(await look(), []);

    const waiting = await stage.visitor("waiting", { colorScheme });
    await waiting.page.route("**/config.json", (route) => route.abort());
    await waiting.visit();
    await sees(waiting.alert);
    await waiting.page.evaluate(axe.source);
    const found = await waiting.page.evaluate(async () => {
      const { axe } = window as unknown as { axe: typeof import("axe-core") };
      return (await axe.run(document, { resultTypes: ["violations"] })).violations.map(({ id }) => id);
    });
    assert.deepEqual(found, []);
  });
}
