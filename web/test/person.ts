/** A person: a user of Confab, with a browser of their own, who finds everything by the names that people see or hear. */

import { Api } from "@confab/client";
import type { Locator, Page } from "playwright-core";

const PASSWORD = "Str0ng-pass-phrase";

export class Person {
  readonly name: string;
  readonly password = PASSWORD;
  readonly page: Page;
  /** The same user over HTTP, with a token of their own. */
  readonly api: Api;

  constructor(name: string, api: string, page: Page) {
    this.name = name;
    this.page = page;
    this.api = new Api({ url: api });
  }

  /** Gets an account, over HTTP. */
  async register(): Promise<void> {
    await this.api.register({ username: this.name, password: this.password });
    await this.api.logIn(this.name, this.password);
  }

  /** Goes to a place in the application, such as `#/chats/040213b14a02451`. */
  async visit(route = ""): Promise<void> {
    await this.page.goto(`/${route}`);
  }

  /** Fills in the form that asks who one is. */
  async logIn(password = this.password): Promise<void> {
    const form = this.page.getByRole("form", { name: "Log in" });
    await form.getByLabel("Username").fill(this.name);
    await form.getByLabel("Password").fill(password);
    await form.getByRole("button", { name: "Log in" }).click();
    if (password === this.password) await sees(this.page.getByRole("button", { name: "Log out" }));
  }

  /** Shows the list of one's chats as it is now: that one is in a chat is told a little later. */
  async list(): Promise<void> {
    await this.visit("#/");
    await this.page.reload();
    await sees(this.chats);
  }

  /** Comes to the page, and logs in. */
  async arrive(): Promise<void> {
    await this.visit();
    await this.logIn();
  }

  /** Opens a chat, and waits until it is live. */
  async open(uri: string): Promise<void> {
    await this.visit(`#/chats/${uri}`);
    await sees(this.composer);
    await sees(this.status("Connected"));
  }

  /** Holds back the requests to these addresses, until the function that is returned is called. */
  async holdBack(addresses: string): Promise<() => void> {
    let letGo = () => {};
    const allowed = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    await this.page.route(addresses, async (route) => {
      await allowed;
      await route.continue();
    });
    return letGo;
  }

  get main(): Locator {
    return this.page.getByRole("main");
  }

  /** The list of one's chats. */
  get chats(): Locator {
    return this.page.getByRole("navigation", { name: "My chats" });
  }

  /** The link to the chat with these others. */
  chatWith(...others: Person[]): Locator {
    return others.reduce(
      (links, other) => links.filter({ hasText: other.name }),
      this.chats.getByRole("listitem").getByRole("link"),
    );
  }

  get log(): Locator {
    return this.page.getByRole("log", { name: "Messages" });
  }

  get messages(): Locator {
    return this.log.getByRole("article");
  }

  /** The message that says this. */
  message(text: string): Locator {
    return this.messages.filter({ has: this.page.getByText(text, { exact: true }) });
  }

  get composer(): Locator {
    return this.page.getByRole("form", { name: "Write a message" }).getByRole("textbox", { name: "Message" });
  }

  /** Writes a message and sends it. */
  async write(text: string): Promise<void> {
    await this.composer.fill(text);
    // Where one cannot point, Enter breaks the line.
    if (await this.page.evaluate(() => matchMedia("(hover: none)").matches)) await this.button("Send").tap();
    else await this.composer.press("Enter");
  }

  /** Does something with a message: presses the button with this name in its toolbar. */
  async act(text: string, action: "React" | "Reply" | "Edit" | "Delete"): Promise<void> {
    const message = this.message(text);
    await message.scrollIntoViewIfNeeded();
    const more = message.getByRole("button", { name: "Actions", exact: true });
    // On a phone nothing can be pointed to.
    if (await more.isVisible()) await more.click();
    else await message.hover();
    await message.getByRole("button", { name: action, exact: true }).click();
  }

  /** Reacts to a message with one of the emoji that are offered. */
  async react(text: string, emoji: string): Promise<void> {
    await this.act(text, "React");
    await this.page.getByRole("group", { name: "Pick a reaction" }).getByRole("button", { name: emoji }).click();
  }

  dialog(name: "Members" | "Search"): Locator {
    return this.page.getByRole("dialog", { name });
  }

  button(name: string): Locator {
    return this.page.getByRole("button", { name, exact: true });
  }

  /** What is told by the way, such as that the connection is back. */
  status(text: string): Locator {
    return this.page.getByRole("status").filter({ hasText: text });
  }

  /** What is read out of what the others say just now. */
  get news(): Locator {
    return this.page.getByRole("status", { name: "New messages" });
  }

  get alert(): Locator {
    return this.page.getByRole("alert");
  }

  /** The texts of the messages that are shown, in their order, those not sent yet included. */
  async said(among: readonly string[]): Promise<string[]> {
    const texts = await this.messages.allInnerTexts();
    return texts.flatMap((text) => among.filter((said) => text.split("\n").includes(said)));
  }
}

/** A chat of these people: the first one owns it. Its uri is the invitation. */
export async function chat(owner: Person, ...others: Person[]): Promise<string> {
  const uri = await owner.api.start();
  const usernames = others.map(({ name }) => name);
  if (usernames.length > 0) await owner.api.join(uri, usernames);
  return uri;
}

/** Waits until this is to be seen. */
export async function sees(what: Locator, options: { timeout?: number } = {}): Promise<void> {
  await what.first().waitFor({ state: "visible", ...options });
}

/** Waits until nothing of this is to be seen. */
export async function misses(what: Locator): Promise<void> {
  await what.filter({ visible: true }).first().waitFor({ state: "hidden" });
}

/** Whether somebody sees this at the moment, at least half of it. */
export function isInView(what: Locator): Promise<boolean> {
  return what.evaluate(
    (element) =>
      new Promise<boolean>((resolve) => {
        const observer = new IntersectionObserver((entries) => {
          observer.disconnect();
          resolve((entries[0]?.intersectionRatio ?? 0) >= 0.5);
        });
        observer.observe(element);
      }),
  );
}

/** Whether this has the focus. */
export function isFocused(what: Locator): Promise<boolean> {
  return what.evaluate((element) => element === document.activeElement);
}
