/** A user of Confab with a separate browser context. Elements are located by their visible or accessible names. */

import { Api } from "@confab/client";
import type { Locator, Page } from "playwright-core";

const PASSWORD = "Str0ng-pass-phrase";

export class Person {
  readonly name: string;
  readonly password = PASSWORD;
  readonly page: Page;
  /** The HTTP API as the same user, with a separate token. */
  readonly api: Api;

  constructor(name: string, api: string, page: Page) {
    this.name = name;
    this.page = page;
    this.api = new Api({ url: api });
  }

  /** Creates the account over HTTP. */
  async register(): Promise<void> {
    await this.api.register({ username: this.name, password: this.password });
    await this.api.logIn(this.name, this.password);
  }

  /** Opens a route of the app, such as `#/chats/040213b14a02451`. */
  async visit(route = ""): Promise<void> {
    await this.page.goto(`/${route}`);
  }

  /** Submits the login form. */
  async logIn(password = this.password): Promise<void> {
    const form = this.page.getByRole("form", { name: "Log in" });
    await form.getByLabel("Username").fill(this.name);
    await form.getByLabel("Password").fill(password);
    await form.getByRole("button", { name: "Log in" }).click();
    if (password === this.password) await expectVisible(this.page.getByRole("button", { name: "Log out" }));
  }

  /** Reloads the list of chats, since events about new chats arrive with a delay. */
  async reloadChatList(): Promise<void> {
    await this.visit("#/");
    await this.page.reload();
    await expectVisible(this.chats);
  }

  /** Opens the page, and logs in. */
  async visitAndLogIn(): Promise<void> {
    await this.visit();
    await this.logIn();
  }

  /** Opens a chat, and waits until it is loaded. */
  async openChat(uri: string): Promise<void> {
    await this.visit(`#/chats/${uri}`);
    await expectVisible(this.composer);
    await expectVisible(this.status("Connected"));
  }

  /** Holds requests to these URLs until the returned function is called. */
  async holdRequests(addresses: string): Promise<() => void> {
    let release = () => {};
    const allowed = new Promise<void>((resolve) => {
      release = resolve;
    });
    await this.page.route(addresses, async (route) => {
      await allowed;
      await route.continue();
    });
    return release;
  }

  get main(): Locator {
    return this.page.getByRole("main");
  }

  /** The list of chats. */
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

  /** The message with this text. */
  message(text: string): Locator {
    return this.messages.filter({ has: this.page.getByText(text, { exact: true }) });
  }

  get composer(): Locator {
    return this.page.getByRole("form", { name: "Write a message" }).getByRole("textbox", { name: "Message" });
  }

  /** Writes and sends a message. */
  async send(text: string): Promise<void> {
    await this.composer.fill(text);
    // On touch screens, Enter inserts a line break.
    if (await this.page.evaluate(() => matchMedia("(hover: none)").matches)) await this.button("Send").tap();
    else await this.composer.press("Enter");
  }

  /** Runs an action of a message's toolbar. */
  async runAction(text: string, action: "React" | "Reply" | "Edit" | "Delete"): Promise<void> {
    const message = this.message(text);
    await message.scrollIntoViewIfNeeded();
    const more = message.getByRole("button", { name: "Actions", exact: true });
    // Touch screens have a button in place of hovering.
    if (await more.isVisible()) await more.click();
    else await message.hover();
    await message.getByRole("button", { name: action, exact: true }).click();
  }

  /** Reacts to a message with an emoji of the picker. */
  async react(text: string, emoji: string): Promise<void> {
    await this.runAction(text, "React");
    await this.page.getByRole("group", { name: "Pick a reaction" }).getByRole("button", { name: emoji }).click();
  }

  dialog(name: "Members" | "Search"): Locator {
    return this.page.getByRole("dialog", { name });
  }

  button(name: string): Locator {
    return this.page.getByRole("button", { name, exact: true });
  }

  /** A status message, such as the state of the connection. */
  status(text: string): Locator {
    return this.page.getByRole("status").filter({ hasText: text });
  }

  /** The announcements of new messages for screen readers. */
  get announcements(): Locator {
    return this.page.getByRole("status", { name: "New messages" });
  }

  get alert(): Locator {
    return this.page.getByRole("alert");
  }

  /** The texts of the shown messages in their order, including unsent ones. */
  async shownTexts(among: readonly string[]): Promise<string[]> {
    const texts = await this.messages.allInnerTexts();
    return texts.flatMap((text) => among.filter((one) => text.split("\n").includes(one)));
  }
}

/** Creates a chat of these people, which the first one owns, and returns its uri. */
export async function createChat(owner: Person, ...others: Person[]): Promise<string> {
  const uri = await owner.api.createChat();
  const usernames = others.map(({ name }) => name);
  if (usernames.length > 0) await owner.api.join(uri, usernames);
  return uri;
}

/** Waits until an element is visible. */
export async function expectVisible(locator: Locator, options: { timeout?: number } = {}): Promise<void> {
  await locator.first().waitFor({ state: "visible", ...options });
}

/** Waits until no such element is visible. */
export async function expectHidden(locator: Locator): Promise<void> {
  await locator.filter({ visible: true }).first().waitFor({ state: "hidden" });
}

/** Whether at least half of an element is in the viewport. */
export function isInView(locator: Locator): Promise<boolean> {
  return locator.evaluate(
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

/** Whether an element has the focus. */
export function isFocused(locator: Locator): Promise<boolean> {
  return locator.evaluate((element) => element === document.activeElement);
}
