/** axe-core finds nothing wrong in any of the main views, light and dark, on a desk and on a phone. */

import assert from "node:assert/strict";
import axe from "axe-core";
import { chat, type Person, sees } from "./person.js";
import { eventually, phone, type Stage, test } from "./stage.js";

/** What axe-core has against what a person sees, a line for each element. */
async function faults(person: Person): Promise<string[]> {
  await person.page.evaluate(axe.source);
  return person.page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 120)} ${failureSummary?.replace(/\s+/g, " ")}`),
    );
  });
}

async function look(stage: Stage, options: NonNullable<Parameters<Stage["person"]>[1]>): Promise<void> {
  /** Each fault, and the view in which it was seen first. */
  const found = new Map<string, string>();
  const anna = await stage.visitor("anna", options);
  const look = async (view: string) => {
    for (const fault of await faults(anna)) if (!found.has(fault)) found.set(fault, view);
  };
  await anna.register();
  const [ben, cleo] = await Promise.all([stage.visitor("ben"), stage.visitor("cleo")]);
  await Promise.all([ben.register(), cleo.register()]);

  const uri = await chat(anna, ben, cleo);
  const other = await chat(ben, anna);
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
  await look("login");
  await anna.logIn("wrong");
  await sees(anna.alert);
  await look("wrong password");
  await anna.visit("#/register");
  const register = anna.page.getByRole("form", { name: "Register" });
  await register.getByLabel("Username").fill(anna.name);
  await register.getByLabel("Password").fill(anna.password);
  await register.getByRole("button", { name: "Register" }).click();
  await sees(register.getByText(/already exists/));
  await look("register");

  await anna.visit("#/login");
  await anna.logIn();
  await anna.list();
  await sees(anna.chatWith(ben, cleo));
  await look("chats");
  await anna.open(uri);
  await sees(anna.log.getByText("Read by"));
  await look("chat");
  await anna.act("See you", "Reply");
  await sees(anna.button("Cancel reply"));
  await look("replying");
  await anna.button("Cancel reply").click();
  await anna.act("See you", "Edit");
  await sees(anna.button("Cancel edit"));
  await look("editing");
  await anna.button("Cancel edit").click();
  await anna.act("See you", "React");
  await sees(anna.page.getByRole("group", { name: "Pick a reaction" }));
  await look("picking a reaction");
  await anna.page.keyboard.press("Escape");
  await anna.act("See you", "Delete");
  await sees(anna.page.getByText("Delete this message?"));
  await look("deleting");
  await anna.button("Keep").click();
  await anna.button("Members").click();
  await sees(anna.dialog("Members").getByRole("listitem").filter({ hasText: cleo.name }));
  await look("members");
  await anna.dialog("Members").getByRole("button", { name: "Close" }).click();
  await anna.button("Search").click();
  await anna.dialog("Search").getByLabel("Search messages").fill("cake");
  await anna.dialog("Search").getByLabel("Search messages").press("Enter");
  await sees(anna.dialog("Search").getByRole("listitem"));
  await look("search");
  await anna.dialog("Search").getByRole("button", { name: "Close" }).click();
  await anna.composer.fill("a".repeat(1_950));
  await look("nearly too long");
  await anna.composer.fill("");
  await anna.visit("#/chats/0123456789abcde");
  await anna.log.waitFor({ state: "hidden" });
  await look("no such chat");
  assert.equal(found.size, 0, [...found].map(([fault, view]) => `${view}: ${fault}`).join("\n"));
}

test("light, on a desk", (stage) => look(stage, { colorScheme: "light" }));
test("dark, on a desk", (stage) => look(stage, { colorScheme: "dark" }));
test("light, on a phone", (stage) => look(stage, { colorScheme: "light", ...phone }));
test("dark, on a phone", (stage) => look(stage, { colorScheme: "dark", ...phone }));

test("what others say just now is read out, and nothing else", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.visitor("ben")]);
  await ben.register();
  const uri = await chat(anna, ben);
  for (let n = 1; n <= 120; n++) await ben.api.post(uri, `Message ${n}`);
  await anna.page.reload();
  /** All that was ever in the status. */
  const told = () => anna.page.evaluate(() => (window as unknown as { told: string[] }).told);
  await anna.open(uri);
  await sees(anna.message("Message 120"));
  await anna.news.evaluate((news) => {
    const told: string[] = [];
    Object.assign(window, { told });
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) for (const node of addedNodes) told.push(node.textContent ?? "");
    }).observe(news, { childList: true, subtree: true });
  });
  assert.equal(await anna.log.getAttribute("aria-live"), "off");
  assert.equal((await anna.news.innerText()).trim(), "");

  await anna.log.hover();
  await anna.page.mouse.wheel(0, -100_000);
  await sees(anna.message("Message 1"));
  await anna.write("My own");
  await sees(anna.message("My own"));
  await ben.api.post(uri, "Hello");
  await ben.api.post(uri, "Hello");
  await eventually(
    async () => (await told()).filter((text) => text !== ""),
    [`${ben.name}: Hello`, `${ben.name}: Hello`],
  );
  assert.deepEqual(await faults(anna), []);
  await anna.news.getByText("Hello").first().waitFor({ state: "detached", timeout: 20_000 });
});

test("the characters that are left are not read out with each key", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.open(uri);
  const form = anna.page.getByRole("form", { name: "Write a message" });
  const said = async () => (await form.getByRole("status").allInnerTexts()).join("").trim();
  const texts: string[] = [];
  for (const [length, counted] of [
    [1_850, "150 characters left"],
    [1_851, "149 characters left"],
    [2_001, "1 characters too many"],
    [2_002, "2 characters too many"],
  ] as const) {
    await anna.composer.fill("a".repeat(length));
    await sees(form.getByText(counted));
    texts.push(await said());
  }
  assert.equal(texts[0], texts[1]);
  assert.equal(texts[2], texts[3]);
  assert.notEqual(texts[1], texts[2]);
  await anna.composer.fill("");
  await eventually(said, "");
});
