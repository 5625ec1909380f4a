/** Starting the page: the stored login, missing storage, and the configuration. */

import assert from "node:assert/strict";
import { eventually, test } from "./fixture.js";
import { createChat, expectVisible } from "./person.js";

const KEY = "confab.session";

test("a login survives a reload", async (fixture) => {
  const anna = await fixture.person("anna");
  await anna.page.reload();
  await expectVisible(anna.button("Log out"));
  await expectVisible(anna.status("Connected"));
});

test("an invalid stored login redirects to the login, and is replaced", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  await anna.visit();
  const user = { id: "1", username: "anna", email: "", first_name: "", last_name: "" };
  for (const stored of [
    "{",
    "null",
    "7",
    '{"token":"0"}',
    JSON.stringify({ token: "0", user }),
    '{"token":"a b","user":{}}',
  ]) {
    await anna.page.evaluate(([key, value]) => localStorage.setItem(key, value), [KEY, stored] as const);
    await anna.page.reload();
    await expectVisible(anna.page.getByRole("form", { name: "Log in" }));
    assert.equal(await anna.page.evaluate((key) => localStorage.getItem(key), KEY), null);
  }
  await anna.logIn();
  await anna.page.reload();
  await expectVisible(anna.chats);
});

test("invalid stored messages do not break the page", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.page.evaluate((key) => {
    const { id } = JSON.parse(localStorage.getItem(key) ?? "").user;
    for (const [name, value] of Object.entries({ a: "null", b: "{", c: "[]" })) {
      localStorage.setItem(`confab.outbox.${id}.${name}`, value);
    }
  }, KEY);
  await anna.page.reload();
  await anna.openChat(uri);
  await anna.send("Hello");
  await eventually(async () => (await anna.api.history(uri)).messages.map(({ message }) => message), ["Hello"]);
});

test("without storage, the login lasts as long as the page", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  const uri = await createChat(anna);
  await anna.page.addInitScript(() => {
    Object.defineProperty(window, "localStorage", {
      get() {
        throw new DOMException("It is forbidden.", "SecurityError");
      },
    });
  });
  await anna.visitAndLogIn();
  await anna.openChat(uri);
  await anna.send("Hello");
  await eventually(async () => (await anna.api.history(uri)).messages.map(({ message }) => message), ["Hello"]);
  await anna.button("Log out").click();
  await expectVisible(anna.page.getByRole("form", { name: "Log in" }));
  await anna.logIn();
});

test("a full storage does not prevent a login", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  await anna.page.addInitScript(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException("It is full.", "QuotaExceededError");
    };
  });
  await anna.visitAndLogIn();
  await expectVisible(anna.status("Connected"));
});

test("loading the configuration is retried, with a message", async (fixture) => {
  const anna = await fixture.visitor("anna");
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
  await expectVisible(anna.alert.filter({ hasText: "this page tries again by itself" }));
  await expectVisible(anna.page.getByRole("form", { name: "Log in" }));
  assert.deepEqual(answers, []);
  await anna.logIn();
});

test("without config.json, the server is the page's origin", async (fixture) => {
  const anna = await fixture.visitor("anna");
  for (const answer of [{ status: 404 }, { status: 403 }, { contentType: "text/html", body: "<!doctype html>" }]) {
    await anna.page.route("**/config.json", (route) => route.fulfill(answer));
    await anna.visit();
    await anna.page.reload();
    await expectVisible(anna.page.getByRole("form", { name: "Log in" }));
    assert.equal(await anna.alert.count(), 0);
    await anna.page.unroute("**/config.json");
  }
});
