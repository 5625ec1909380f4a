/**
 * What each test stands on: a server and a browser for the whole file, and for each test people of its own. Whatever a page does that none ever
 * should (break its content security policy, open a dialog of the browser, throw) fails the test.
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

/** How long anything may take that a page is to do, in milliseconds. */
export const PATIENCE = 10_000;
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

/** A test, told to its end on a stage of its own. */
export function test(name: string, tell: (stage: Stage) => Promise<void>): void {
  nodeTest(name, { timeout: TEST_DEADLINE }, async () => {
    const stage = new Stage(server);
    try {
      await tell(stage);
      assert.deepEqual(stage.faults, [], "what no page is to do");
    } catch (error) {
      await stage.keep(name);
      throw error;
    } finally {
      await stage.clear();
    }
  });
}

/** The size of a phone that is not wide. */
export const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true } as const;

/** The people of one test. */
export class Stage {
  /** Where the pages are. */
  readonly url: string;
  /** Where the HTTP API is. */
  readonly api: string;
  /** What pages did that none is to do. */
  readonly faults: string[] = [];
  /** What the pages wrote to their consoles, for whoever looks into a failure. */
  readonly #log: string[] = [];
  readonly #contexts: BrowserContext[] = [];
  /** Names differ from test to test, also with a server that is used again. */
  readonly #suffix = `-${Math.random().toString(36).slice(2, 7)}`;

  constructor({ url, api }: Pick<Server, "url" | "api">) {
    this.url = url;
    this.api = api;
  }

  /** Somebody who has an account and is logged in, in a browser of their own. */
  async person(name: string, options: BrowserContextOptions = {}): Promise<Person> {
    const person = await this.visitor(name, options);
    await person.register();
    await person.arrive();
    return person;
  }

  /** Somebody with a browser of their own, and nothing else yet. */
  async visitor(name: string, options: BrowserContextOptions = {}): Promise<Person> {
    const context = await this.context(options);
    return new Person(name + this.#suffix, this.api, await context.newPage());
  }

  /** Somebody who is here already, with one more browser. */
  async as(person: Person, options: BrowserContextOptions = {}): Promise<Person> {
    const context = await this.context(options);
    return new Person(person.name, this.api, await context.newPage());
  }

  /** A browser's context, whose pages are watched. */
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
    context.setDefaultTimeout(PATIENCE);
    await context.exposeBinding("violated", (_, what: string) => this.faults.push(`policy violated: ${what}`));
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        const { violatedDirective, blockedURI, sourceFile, lineNumber, sample } = event;
        const said = [violatedDirective, blockedURI, sourceFile, lineNumber, sample].join(" ");
        (window as unknown as { violated(what: string): void }).violated(said);
      });
    });
    context.on("page", (page) => this.#watch(page));
    return context;
  }

  /** Writes down what can be seen at the end of a test that failed. */
  async keep(name: string): Promise<void> {
    const folder = join(failures, name.replace(/[^a-z0-9]+/gi, "-").slice(0, 80));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "console.txt"), [...this.faults, ...this.#log].join("\n"));
    for (const [number, page] of this.#contexts.flatMap((context) => context.pages()).entries()) {
      // A page that has crashed has no screenshot; the failure itself is what counts.
      await page.screenshot({ path: join(folder, `${number + 1}.png`) }).catch(() => {});
    }
  }

  async clear(): Promise<void> {
    await Promise.all(this.#contexts.map((context) => context.close()));
  }

  #watch(page: Page): void {
    page.on("pageerror", (error) => this.faults.push(`thrown: ${error.stack ?? error}`));
    page.on("dialog", (dialog) => {
      this.faults.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("console", (message) => {
      const said = `${message.type()}: ${message.text()}`;
      this.#log.push(said);
      // The browser itself writes down each request that fails, which some are meant to.
      const isOfNetwork = /Failed to load resource|WebSocket connection to|net::ERR_/.test(said);
      if (/content security policy/i.test(said) || (message.type() === "error" && !isOfNetwork)) {
        this.faults.push(`console: ${said}`);
      }
    });
  }
}

/** Asks until the answer is the expected one, and fails with the last answer if that takes too long. */
export async function eventually<Answer>(
  ask: () => Promise<Answer>,
  expected: Answer,
  message?: string,
  patience = PATIENCE,
): Promise<void> {
  const deadline = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (isDeepStrictEqual(answer, expected)) return;
    if (Date.now() > deadline) assert.deepEqual(answer, expected, message);
    await pause(50);
  }
}
