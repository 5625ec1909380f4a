/** Keyboard operation and focus. */

import assert from "node:assert/strict";
import type { Locator } from "playwright-core";
import { eventually, phone, test } from "./fixture.js";
import { createChat, expectHidden, expectVisible, isFocused, type Person } from "./person.js";

const STEPS = 60;

/** Presses Tab (or Shift+Tab) until the target has the focus. */
async function tabTo(person: Person, target: Locator, key: "Tab" | "Shift+Tab" = "Tab"): Promise<void> {
  await expectVisible(target);
  const passed: string[] = [];
  for (let step = 0; step < STEPS; step++) {
    if (await isFocused(target)) return;
    await person.page.keyboard.press(key);
    passed.push(await person.page.evaluate(() => document.activeElement?.outerHTML.slice(0, 80) ?? ""));
  }
  assert.fail(`${target} was not reached with ${key}:\n${passed.join("\n")}`);
}

/** Focuses a message: Tab focuses one of them, and the arrow keys move between them. */
async function focusMessage(person: Person, text: string): Promise<void> {
  const isAtMessage = () =>
    person.log.evaluate((log) => document.activeElement?.closest("article, [role=log]") === log);
  while (!(await isAtMessage())) await person.page.keyboard.press("Shift+Tab");
  for (let step = 0; step < STEPS && !(await isFocused(person.message(text))); step++) {
    await person.page.keyboard.press("ArrowUp");
  }
  assert.ok(await isFocused(person.message(text)), `the message was not reached: ${text}`);
}

/**
 * Opens a dialog with the keyboard, moves through it in both directions, closes it, and checks that the focus is
 * restored.
 */
async function checkDialogFocus(
  person: Person,
  opener: Locator,
  dialog: Locator,
  key: "Tab" | "Shift+Tab",
): Promise<void> {
  await tabTo(person, opener, key);
  await person.page.keyboard.press("Enter");
  await expectVisible(dialog);
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
  // Removed, and not only hidden: until then the opener is without effect.
  await eventually(() => dialog.count(), 0, "the dialog stays");
  await eventually(() => isFocused(opener), true, "the focus did not come back");
}

test("logging in, chatting, reacting, editing and deleting work with the keyboard alone", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.visitor("anna"), fixture.person("ben")]);
  await anna.register();
  const uri = await createChat(anna, ben);
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
  await expectVisible(anna.message("Hello Anna"));
  await tabTo(anna, anna.composer);
  await keyboard.type("Helo Ben");
  await keyboard.press("Enter");
  await ben.openChat(uri);
  await expectVisible(ben.message("Helo Ben"));

  await keyboard.press("ArrowUp");
  await eventually(() => anna.composer.inputValue(), "Helo Ben");
  for (let n = 0; n < "o Ben".length; n++) await keyboard.press("ArrowLeft");
  await keyboard.type("l");
  await keyboard.press("Enter");
  await expectVisible(ben.message("Hello Ben"));
  await eventually(() => isFocused(anna.composer), true, "the composer lost the focus after an edit");

  await focusMessage(anna, "Hello Anna");
  await tabTo(anna, anna.message("Hello Anna").getByRole("button", { name: "React" }));
  await keyboard.press("Enter");
  const picker = anna.page.getByRole("group", { name: "Pick a reaction" });
  await tabTo(anna, picker.getByRole("button", { name: "❤️" }));
  await keyboard.press("Enter");
  await expectVisible(ben.message("Hello Anna").getByRole("button", { name: "❤️ 1" }));
  await expectHidden(picker);
  await eventually(
    () => anna.page.evaluate(() => document.activeElement === document.body),
    false,
    "the focus is lost",
  );

  await focusMessage(anna, "Hello Anna");
  await tabTo(anna, anna.message("Hello Anna").getByRole("button", { name: "Reply" }));
  await keyboard.press("Enter");
  await eventually(() => isFocused(anna.composer), true, "the composer does not have the focus for a reply");
  await keyboard.type("My reply");
  await keyboard.press("Enter");
  await expectVisible(ben.message("My reply"));

  await focusMessage(anna, "Hello Ben");
  await tabTo(anna, anna.message("Hello Ben").getByRole("button", { name: "Delete" }));
  await keyboard.press("Enter");
  await expectVisible(anna.page.getByText("Delete this message?"));
  await tabTo(anna, anna.page.locator("dialog").getByRole("button", { name: "Delete", exact: true }));
  await keyboard.press("Enter");
  await expectVisible(ben.message("Message deleted"));
  await expectHidden(anna.page.getByText("Delete this message?"));
});

test("dialogs keep the focus while they are open, and restore it", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(anna, ben);
  await anna.openChat(uri);
  await checkDialogFocus(anna, anna.button("Members"), anna.dialog("Members"), "Tab");
  await checkDialogFocus(anna, anna.button("Search"), anna.dialog("Search"), "Tab");
});

test("Escape closes the search, also with words in its field", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.openChat(uri);
  await anna.button("Search").click();
  await anna.page.keyboard.type("cake");
  await eventually(() => anna.dialog("Search").getByLabel("Search messages").inputValue(), "cake");
  await anna.page.keyboard.press("Escape");
  await expectHidden(anna.dialog("Search"));
});

test("the reaction picker closes with Escape and restores the focus", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Hello");
  await anna.openChat(uri);
  const react = anna.message("Hello").getByRole("button", { name: "React" });
  await tabTo(anna, react);
  await anna.page.keyboard.press("Enter");
  const picker = anna.page.getByRole("group", { name: "Pick a reaction" });
  await tabTo(anna, picker.getByRole("button", { name: "👍" }));
  await anna.page.keyboard.press("Escape");
  await expectHidden(picker);
  await eventually(() => isFocused(react), true);
});

test("the first Tab offers to skip to the messages", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Hello");
  await anna.openChat(uri);
  await anna.page.reload();
  await expectVisible(anna.message("Hello"));
  const skip = anna.page.getByRole("link", { name: "Skip to messages" });
  await anna.page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await tabTo(anna, skip);
  await anna.page.keyboard.press("Enter");
  await eventually(
    () => anna.main.evaluate((main) => main === document.activeElement || main.contains(document.activeElement)),
    true,
    "the focus is not at the messages",
  );
  await expectVisible(anna.message("Hello"));
});

test("the focused element has a visible outline", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  await anna.api.post(uri, "Hello");
  await anna.openChat(uri);
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
    assert.ok(focused.isShown, `the focus is not visible: ${focused.html}`);
  }
  assert.ok(seen.size >= 10, [...seen].join("\n"));
});

test("during input method composition, keys do not send or cancel", async (fixture) => {
  const anna = await fixture.person("anna");
  const uri = await createChat(anna);
  const { id } = await anna.api.post(uri, "Hello");
  await anna.openChat(uri);
  await anna.runAction("Hello", "Reply");
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
  await expectVisible(anna.button("Cancel reply"));
  await keys.send("Input.insertText", { text: "日本" });
  await eventually(() => anna.composer.inputValue(), "日本");
  await anna.composer.press("Enter");
  await expectVisible(anna.message("日本"));
  // The message is shown before it is sent.
  await eventually(async () => (await anna.api.history(uri)).messages.at(-1)?.reply_to, id);

  await anna.composer.dispatchEvent("keydown", { key: "ArrowUp", bubbles: true, cancelable: true, keyCode: 229 });
  assert.equal(await anna.composer.inputValue(), "");
  await anna.composer.press("ArrowUp");
  await eventually(() => anna.composer.inputValue(), "日本");
});

test("on a phone, Enter inserts a line break, and the button sends", async (fixture) => {
  const anna = await fixture.person("anna", phone);
  const uri = await createChat(anna);
  await anna.openChat(uri);
  await anna.composer.fill("One");
  await anna.composer.press("Enter");
  await anna.composer.pressSequentially("two");
  assert.equal(await anna.composer.inputValue(), "One\ntwo");
  await anna.send("One\ntwo, sent");
  await eventually(
    async () => (await anna.api.history(uri)).messages.map(({ message }) => message),
    ["One\ntwo, sent"],
  );
});

test("removing a member requires confirmation, and the focus is never lost", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna"), fixture.visitor("ben")]);
  await ben.register();
  const uri = await createChat(anna, ben);
  await anna.openChat(uri);
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
  assert.equal((await anna.api.chat(uri)).members.length, 2);

  await tabTo(anna, dialog.getByRole("button", { name: `Remove ${ben.name}` }), "Shift+Tab");
  await keyboard.press("Enter");
  await eventually(() => isFocused(dialog.getByRole("button", { name: "Remove", exact: true })), true);
  await keyboard.press("Enter");
  await expectHidden(dialog.getByRole("listitem").filter({ hasText: ben.name }));
  await eventually(() => isFocused(dialog.getByRole("list", { name: "Members" })), true);
});

test("the profile can be changed with the keyboard alone", async (fixture) => {
  const anna = await fixture.person("anna");
  const opener = anna.button(`${anna.name}, your profile`);
  const dialog = anna.page.getByRole("dialog", { name: "Your profile" });
  await checkDialogFocus(anna, opener, dialog, "Shift+Tab");
  await anna.page.keyboard.press("Enter");
  await tabTo(anna, dialog.getByLabel("First name"));
  await anna.page.keyboard.type("Anna");
  await anna.page.keyboard.press("Enter");
  await expectVisible(dialog.getByText("Your profile is saved."));
  await anna.page.keyboard.press("Escape");
  await expectHidden(dialog);
  await eventually(() => isFocused(anna.button("Anna, your profile")), true, "the focus did not come back");
});

/** The tag and the accessible name of the focused element. */
const focused = (person: Person) =>
  person.page.evaluate(() => {
    const element = document.activeElement;
    const label = element instanceof HTMLInputElement ? element.labels?.[0] : element;
    return `${element?.tagName} ${element?.getAttribute("aria-label") ?? label?.textContent}`;
  });
const titleOf = (person: Person) => person.page.title();

test("each view takes the focus when it is opened, and sets the page title", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.visitor("anna"), fixture.visitor("ben")]);
  await Promise.all([anna.register(), ben.register()]);
  const uri = await createChat(anna, ben);
  const { id } = await ben.api.post(uri, "Unread");
  const notes = await createChat(anna);
  await anna.visit();
  await expectVisible(anna.page.getByRole("form", { name: "Log in" }));
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
  await eventually(async () => (await anna.api.chat(uri)).read?.[(await anna.api.me()).id], id);
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

test("on a phone, the focus moves to the heading of the view", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.person("anna", phone), fixture.visitor("ben")]);
  await ben.register();
  await createChat(anna, ben);
  await anna.reloadChatList();
  await anna.chatWith(ben).tap();
  await expectVisible(anna.composer);
  await eventually(() => focused(anna), `H1 ${ben.name}`);
  await anna.page.getByRole("link", { name: "My chats" }).tap();
  await eventually(() => focused(anna), "H1 My chats");
});
