/**
 * The test fixture: a server and a browser for each file, and new users for each test. A test fails if a page violates
 * its content security policy, opens a dialog of the browser, or throws.
 */

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test as nodeTest } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { Person } from "./person.js";
import { type Server, serve } from "./server.js";

/** The default time-out of an expectation, in milliseconds. */
export const TIMEOUT = 20_000;
const TEST_DEADLINE = 120_000;
const failures = fileURLToPath(new URL("../failures", import.meta.url));

let server: Server;
let browser: Browser;

before(async () => {
  server = await serve();
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Defines a test with a new fixture. */
export function test(name: string, run: (fixture: Fixture) => Promise<void>): void {
  nodeTest(name, { timeout: TEST_DEADLINE }, async () => {
    const fixture = new Fixture(server);
    try {
      await run(fixture);
      assert.deepEqual(fixture.errors, [], "errors on the pages");
    } catch (error) {
      await fixture.saveFailure(name);
      throw error;
    } finally {
      await fixture.close();
    }
  });
}

/** A narrow phone. */
export const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true } as const;

/** The users and browser contexts of one test. */
export class Fixture {
  /** The URL of the page. */
  readonly url: string;
  /** The URL of the HTTP API. */
  readonly api: string;
  /** Violations, dialogs and uncaught errors on the pages. */
  readonly errors: string[] = [];
  /** The console output of the pages, for the failure report. */
  readonly #log: string[] = [];
  readonly #contexts: BrowserContext[] = [];
  /** Makes usernames unique, also if the server is reused. */
  readonly #suffix = `-${Math.random().toString(36).slice(2, 7)}`;

  constructor({ url, api }: Pick<Server, "url" | "api">) {
    this.url = url;
    this.api = api;
  }

  /** A registered and logged-in user with a separate browser context. */
  async person(name: string, options: BrowserContextOptions = {}): Promise<Person> {
    const person = await this.visitor(name, options);
    await person.register();
    await person.visitAndLogIn();
    return person;
  }

  /** A person with a separate browser context and no account yet. */
  async visitor(name: string, options: BrowserContextOptions = {}): Promise<Person> {
    const context = await this.context(options);
    return new Person(name + this.#suffix, this.api, await context.newPage());
  }

  /** A second browser context of a user. */
  async secondBrowser(person: Person, options: BrowserContextOptions = {}): Promise<Person> {
    const context = await this.context(options);
    return new Person(person.name, this.api, await context.newPage());
  }

  /** A browser context whose errors are collected. */
  async context(options: BrowserContextOptions = {}): Promise<BrowserContext> {
    const context = await browser.newContext({
      baseURL: this.url,
      locale: "en-GB",
      timezoneId: "UTC",
      reducedMotion: "reduce",
      permissions: ["clipboard-read", "clipboard-write"],
      viewport: { width: 1200, height: 800 },
      ...options,
    });
    this.#contexts.push(context);
    context.setDefaultTimeout(TIMEOUT);
    await context.exposeBinding("violated", (_, what: string) => this.errors.push(`policy violated: ${what}`));
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        const { violatedDirective, blockedURI, sourceFile, lineNumber, sample } = event;
        const text = [violatedDirective, blockedURI, sourceFile, lineNumber, sample].join(" ");
        (window as unknown as { violated(what: string): void }).violated(text);
      });
    });
    context.on("page", (page) => this.#watch(page));
    return context;
  }

  /** Saves the console output and screenshots of a failed test. */
  async saveFailure(name: string): Promise<void> {
    const folder = join(failures, name.replace(/[^a-z0-9]+/gi, "-").slice(0, 80));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "console.txt"), [...this.errors, ...this.#log].join("\n"));
    for (const [number, page] of this.#contexts.flatMap((context) => context.pages()).entries()) {
      // A crashed page has no screenshot.
      await page.screenshot({ path: join(folder, `${number + 1}.png`) }).catch(() => {});
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#contexts.map((context) => context.close()));
  }

  #watch(page: Page): void {
    page.on("pageerror", (error) => this.errors.push(`thrown: ${error.stack ?? error}`));
    page.on("dialog", (dialog) => {
      this.errors.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("console", (message) => {
      const text = `${message.type()}: ${message.text()}`;
      this.#log.push(text);
      // The browser logs each failed request, and some tests expect them.
      const isNetworkError = /Failed to load resource|WebSocket connection to|net::ERR_/.test(text);
      if (/content security policy/i.test(text) || (message.type() === "error" && !isNetworkError)) {
        this.errors.push(`console: ${text}`);
      }
    });
  }
}

/** Polls a value until it is the expected one, and fails with the last value after the time-out. */
export async function eventually<Value>(
  poll: () => Promise<Value>,
  expected: Value,
  message?: string,
  timeout = TIMEOUT,
): Promise<void> {
  const deadline = Date.now() + timeout;
  for (;;) {
    const value = await poll();
    if (isDeepStrictEqual(value, expected)) return;
    if (Date.now() > deadline) assert.deepEqual(value, expected, message);
    await pause(50);
  }
}
