/** Getting an account, logging in and out, and tokens that are no good any more. */

import assert from "node:assert/strict";
import { chat, misses, sees } from "./person.js";
import { eventually, test } from "./stage.js";

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
