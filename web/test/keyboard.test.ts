/** Everything can be done without a mouse. */

import assert from "node:assert/strict";
import type { Locator } from "playwright-core";
import { chat, isFocused, misses, type Person, sees } from "./person.js";
import { eventually, phone, test } from "./stage.js";

const STEPS = 60;

/** Presses Tab (or Shift+Tab) until this has the focus. */
async function tabTo(person: Person, target: Locator, key: "Tab" | "Shift+Tab" = "Tab"): Promise<void> {
  await sees(target);
  const passed: string[] = [];
  for (let step = 0; step < STEPS; step++) {
    if (await isFocused(target)) return;
    await person.page.keyboard.press(key);
    passed.push(await person.page.evaluate(() => document.activeElement?.outerHTML.slice(0, 80) ?? ""));
  }
  assert.fail(`${target} was not reached with ${key}:\n${passed.join("\n")}`);
}

/** Goes to a message: Tab leads to one of them, and from there the arrows lead from one to the next. */
async function goTo(person: Person, text: string): Promise<void> {
  const isAtMessage = () =>
    person.log.evaluate((log) => document.activeElement?.closest("article, [role=log]") === log);
  while (!(await isAtMessage())) await person.page.keyboard.press("Shift+Tab");
  for (let step = 0; step < STEPS && !(await isFocused(person.message(text))); step++) {
    await person.page.keyboard.press("ArrowUp");
  }
  assert.ok(await isFocused(person.message(text)), `the message was not reached: ${text}`);
}

/** Opens a dialog from its button with the keyboard, goes round in it, closes it, and is back where it was opened. */
async function goRound(person: Person, opener: Locator, dialog: Locator, key: "Tab" | "Shift+Tab"): Promise<void> {
  await tabTo(person, opener, key);
  await person.page.keyboard.press("Enter");
  await sees(dialog);
  const isOutside = () =>
    dialog.evaluate((element) => document.activeElement !== document.body && !element.contains(document.activeElement));
  for (const round of ["Tab", "Shift+Tab"]) {
    for (let step = 0; step < 15; step++) {
      assert.equal(await isOutside(), false, "the focus left the dialog");
      await person.page.keyboard.press(round);
    }
  }
  await tabTo(person, dialog.getByRole("button", { name: "Close" }));
  await person.page.keyboard.press("Escape");
  await misses(dialog);
  await eventually(() => isFocused(opener), true, "the focus did not come back");
}

test("one logs in, chats, reacts, edits and deletes with the keyboard alone", async (stage) => {
  const [anna, ben] = await Promise.all([stage.visitor("anna"), stage.person("ben")]);
  await anna.register();
  const uri = await chat(anna, ben);
  await ben.api.post(uri, "Hello Anna");
  const { keyboard } = anna.page;

  await anna.visit();
  const form = anna.page.getByRole("form", { name: "Log in" });
  await tabTo(anna, form.getByLabel("Username"));
  await keyboard.type(anna.name);
  await keyboard.press("Tab");
  await keyboard.type(anna.password);
  await keyboard.press("Enter");

  await tabTo(anna, anna.chatWith(ben));
  await keyboard.press("Enter");
  await sees(anna.message("Hello Anna"));
  await tabTo(anna, anna.composer);
  await keyboard.type("Helo Ben");
  await keyboard.press("Enter");
  await ben.open(uri);
  await sees(ben.message("Helo Ben"));

  await keyboard.press("ArrowUp");
  await eventually(() => anna.composer.inputValue(), "Helo Ben");
  for (let n = 0; n < "o Ben".length; n++) await keyboard.press("ArrowLeft");
  await keyboard.type("l");
  await keyboard.press("Enter");
  await sees(ben.message("Hello Ben"));
  await eventually(() => isFocused(anna.composer), true, "one cannot write on after an edit");

  await goTo(anna, "Hello Anna");
  await tabTo(anna, anna.message("Hello Anna").getByRole("button", { name: "React" }));
  await keyboard.press("Enter");
  const picker = anna.page.getByRole("group", { name: "Pick a reaction" });
  await tabTo(anna, picker.getByRole("button", { name: "❤️" }));
  await keyboard.press("Enter");
  await sees(ben.message("Hello Anna").getByRole("button", { name: "❤️ 1" }));
  await misses(picker);
  await eventually(
    () => anna.page.evaluate(() => document.activeElement === document.body),
    false,
    "the focus is lost",
  );

  await goTo(anna, "Hello Anna");
  await tabTo(anna, anna.message("Hello Anna").getByRole("button", { name: "Reply" }));
  await keyboard.press("Enter");
  await eventually(() => isFocused(anna.composer), true, "one cannot write a reply at once");
  await keyboard.type("My reply");
  await keyboard.press("Enter");
  await sees(ben.message("My reply"));

  await goTo(anna, "Hello Ben");
  await tabTo(anna, anna.message("Hello Ben").getByRole("button", { name: "Delete" }));
  await keyboard.press("Enter");
  await sees(anna.page.getByText("Delete this message?"));
  await tabTo(anna, anna.page.locator("dialog").getByRole("button", { name: "Delete", exact: true }));
  await keyboard.press("Enter");
  await sees(ben.message("Message deleted"));
  await misses(anna.page.getByText("Delete this message?"));
});

test("dialogs keep the focus while they are open, and give it back", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.visitor("ben")]);
  await ben.register();
  const uri = await chat(anna, ben);
  await anna.open(uri);
  await goRound(anna, anna.button("Members"), anna.dialog("Members"), "Tab");
  await goRound(anna, anna.button("Search"), anna.dialog("Search"), "Tab");
});

test("Escape closes the search, also with words in its field", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.open(uri);
  await anna.button("Search").click();
  await anna.page.keyboard.type("cake");
  await eventually(() => anna.dialog("Search").getByLabel("Search messages").inputValue(), "cake");
  await anna.page.keyboard.press("Escape");
  await misses(anna.dialog("Search"));
});

test("the picker of reactions closes with Escape and gives the focus back", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.api.post(uri, "Hello");
  await anna.open(uri);
  const react = anna.message("Hello").getByRole("button", { name: "React" });
  await tabTo(anna, react);
  await anna.page.keyboard.press("Enter");
  const picker = anna.page.getByRole("group", { name: "Pick a reaction" });
  await tabTo(anna, picker.getByRole("button", { name: "👍" }));
  await anna.page.keyboard.press("Escape");
  await misses(picker);
  await eventually(() => isFocused(react), true);
});

test("the first Tab offers to skip to the messages", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.api.post(uri, "Hello");
  await anna.open(uri);
  await anna.page.reload();
  await sees(anna.message("Hello"));
  const skip = anna.page.getByRole("link", { name: "Skip to messages" });
  await anna.page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await tabTo(anna, skip);
  await anna.page.keyboard.press("Enter");
  await eventually(
    () => anna.main.evaluate((main) => main === document.activeElement || main.contains(document.activeElement)),
    true,
    "the focus is not at the messages",
  );
  await sees(anna.message("Hello"));
});

test("whatever has the focus shows it", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  await anna.api.post(uri, "Hello");
  await anna.open(uri);
  const seen = new Set<string>();
  for (let step = 0; step < STEPS; step++) {
    await anna.page.keyboard.press("Tab");
    const focused = await anna.page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return undefined;
      const { width, height } = element.getBoundingClientRect();
      const isMarked = [element, ...element.querySelectorAll("*")].some((part) => {
        const { outlineStyle, outlineWidth } = getComputedStyle(part);
        return outlineStyle !== "none" && outlineWidth !== "0px";
      });
      return { html: element.outerHTML.slice(0, 120), isShown: isMarked && width > 1 && height > 1 };
    });
    if (!focused) continue;
    seen.add(focused.html);
    assert.ok(focused.isShown, `it cannot be seen that this has the focus: ${focused.html}`);
  }
  assert.ok(seen.size >= 10, [...seen].join("\n"));
});

test("while a word is composed, it can be sent, and keys are about the word", async (stage) => {
  const anna = await stage.person("anna");
  const uri = await chat(anna);
  const { id } = await anna.api.post(uri, "Hello");
  await anna.open(uri);
  await anna.act("Hello", "Reply");
  await eventually(() => isFocused(anna.composer), true);
  const keys = await anna.page.context().newCDPSession(anna.page);
  await keys.send("Input.imeSetComposition", { text: "にほん", selectionStart: 3, selectionEnd: 3 });
  await eventually(() => anna.button("Send").isEnabled(), true);
  for (const composing of [{ isComposing: true }, { keyCode: 229 }]) {
    for (const key of ["Enter", "Escape"]) {
      await anna.composer.dispatchEvent("keydown", { key, bubbles: true, cancelable: true, ...composing });
    }
  }
  assert.equal(await anna.composer.inputValue(), "にほん");
  await sees(anna.button("Cancel reply"));
  await keys.send("Input.insertText", { text: "日本" });
  await eventually(() => anna.composer.inputValue(), "日本");
  await anna.composer.press("Enter");
  await sees(anna.message("日本"));
  assert.equal((await anna.api.history(uri)).messages.at(-1)?.reply_to, id);

  await anna.composer.dispatchEvent("keydown", { key: "ArrowUp", bubbles: true, cancelable: true, keyCode: 229 });
  assert.equal(await anna.composer.inputValue(), "");
  await anna.composer.press("ArrowUp");
  await eventually(() => anna.composer.inputValue(), "日本");
});

test("on a phone Enter breaks the line, and the button sends", async (stage) => {
  const anna = await stage.person("anna", phone);
  const uri = await chat(anna);
  await anna.open(uri);
  await anna.composer.fill("One");
  await anna.composer.press("Enter");
  await anna.composer.pressSequentially("two");
  assert.equal(await anna.composer.inputValue(), "One\ntwo");
  await anna.write("One\ntwo, sent");
  await eventually(
    async () => (await anna.api.history(uri)).messages.map(({ message }) => message),
    ["One\ntwo, sent"],
  );
});

test("before somebody is removed one is asked, and the focus is never lost", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna"), stage.visitor("ben")]);
  await ben.register();
  const uri = await chat(anna, ben);
  await anna.open(uri);
  await anna.button("Members").click();
  const dialog = anna.dialog("Members");
  const { keyboard } = anna.page;
  for (const [opener, yes, no] of [
    [`Make ${ben.name} the owner`, "Make owner", "Stay owner"],
    [`Remove ${ben.name}`, "Remove", "Keep"],
    ["Leave chat", "Leave", "Stay"],
  ] as const) {
    await tabTo(anna, dialog.getByRole("button", { name: opener, exact: true }));
    await keyboard.press("Enter");
    await eventually(() => isFocused(dialog.getByRole("button", { name: yes, exact: true })), true);
    await tabTo(anna, dialog.getByRole("button", { name: no, exact: true }));
    await keyboard.press("Enter");
    await eventually(() => isFocused(dialog.getByRole("button", { name: opener, exact: true })), true);
  }
  assert.equal((await anna.api.show(uri)).members.length, 2);

  await tabTo(anna, dialog.getByRole("button", { name: `Remove ${ben.name}` }), "Shift+Tab");
  await keyboard.press("Enter");
  await eventually(() => isFocused(dialog.getByRole("button", { name: "Remove", exact: true })), true);
  await keyboard.press("Enter");
  await misses(dialog.getByRole("listitem").filter({ hasText: ben.name }));
  await eventually(() => isFocused(dialog.getByRole("list", { name: "Members" })), true);
});

test("one changes one's profile with the keyboard alone", async (stage) => {
  const anna = await stage.person("anna");
  const opener = anna.button(`${anna.name}, your profile`);
  const dialog = anna.page.getByRole("dialog", { name: "Your profile" });
  await goRound(anna, opener, dialog, "Shift+Tab");
  await anna.page.keyboard.press("Enter");
  await tabTo(anna, dialog.getByLabel("First name"));
  await anna.page.keyboard.type("Anna");
  await anna.page.keyboard.press("Enter");
  await sees(dialog.getByText("Your profile is saved."));
  await anna.page.keyboard.press("Escape");
  await misses(dialog);
  await eventually(() => isFocused(anna.button("Anna, your profile")), true, "the focus did not come back");
});

/** What has the focus, by its text or name. */
const focused = (person: Person) =>
  person.page.evaluate(() => {
    const element = document.activeElement;
    const label = element instanceof HTMLInputElement ? element.labels?.[0] : element;
    return `${element?.tagName} ${element?.getAttribute("aria-label") ?? label?.textContent}`;
  });
const titleOf = (person: Person) => person.page.title();

test("each view takes the focus when it is gone to, and names the page", async (stage) => {
  const [anna, ben] = await Promise.all([stage.visitor("anna"), stage.visitor("ben")]);
  await Promise.all([anna.register(), ben.register()]);
  const uri = await chat(anna, ben);
  const { id } = await ben.api.post(uri, "Unread");
  const notes = await chat(anna);
  await anna.visit();
  await sees(anna.page.getByRole("form", { name: "Log in" }));
  assert.equal(await anna.page.evaluate(() => document.activeElement === document.body), true);
  await eventually(() => titleOf(anna), "Log in – Confab");
  await anna.page.getByRole("link", { name: "Register" }).click();
  await eventually(() => focused(anna), "INPUT Username");
  await eventually(() => titleOf(anna), "Register – Confab");
  await anna.page.getByRole("link", { name: "Log in" }).click();
  await eventually(() => titleOf(anna), "Log in – Confab");
  await anna.logIn();
  await eventually(() => focused(anna), "H1 My chats");
  await eventually(() => titleOf(anna), "(1) My chats – Confab");

  await anna.visit(`#/chats/${notes}`);
  await eventually(() => isFocused(anna.composer), true);
  await eventually(() => titleOf(anna), "(1) Just you – Confab");
  await anna.visit(`#/chats/${uri}`);
  await eventually(() => isFocused(anna.composer), true);
  await eventually(() => titleOf(anna), `${ben.name} – Confab`);
  await eventually(async () => (await anna.api.show(uri)).read?.[(await anna.api.me()).id], id);
  await anna.visit("#/join/0123456789abcde");
  await eventually(() => focused(anna), "H1 Join a chat");
  await eventually(() => titleOf(anna), "Join a chat – Confab");
  await anna.visit("#/");
  await eventually(() => focused(anna), "H1 My chats");
  await ben.api.post(uri, "Unread again");
  await eventually(() => titleOf(anna), "(1) My chats – Confab");
  await anna.button("Log out").click();
  await eventually(() => focused(anna), "INPUT Username");
  await eventually(() => titleOf(anna), "Log in – Confab");
});

test("on a phone the focus goes to the head of what is shown", async (stage) => {
  const [anna, ben] = await Promise.all([stage.person("anna", phone), stage.visitor("ben")]);
  await ben.register();
  await chat(anna, ben);
  await anna.list();
  await anna.chatWith(ben).tap();
  await sees(anna.composer);
  await eventually(() => focused(anna), `H1 ${ben.name}`);
  await anna.page.getByRole("link", { name: "My chats" }).tap();
  await eventually(() => focused(anna), "H1 My chats");
});
