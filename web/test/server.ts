/**
 * The server under test: a new process on free ports, unless `CONFAB_URL` has the URL of another one, and
 * `CONFAB_WEBSITE` that of its pages if they are elsewhere.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("../..", import.meta.url));
const {
  CONFAB = "../target/debug/confab",
  TEMPLATE = "../template.yaml",
  CONFAB_URL,
  CONFAB_WEBSITE = CONFAB_URL,
} = process.env;
const DEADLINE = 30_000;

/** A running server. */
export interface Server {
  /** The URL of the page, such as `http://127.0.0.1:8000`. */
  readonly url: string;
  /** The URL of the HTTP API. */
  readonly api: string;
  stop(): Promise<void>;
}

/** Starts a server, with more parameters of the template, and waits until it responds. */
export async function serve(more: readonly string[] = []): Promise<Server> {
  if (CONFAB_URL && CONFAB_WEBSITE) return { url: CONFAB_WEBSITE, api: CONFAB_URL, stop: async () => {} };
  const port = await freePort();
  const parameters = ["PostsPerMinute=0", "AttemptsPerAddress=0", ...more].flatMap((parameter) => [
    "--parameter",
    parameter,
  ]);
  const files = ["--template", resolve(web, TEMPLATE), "--web", resolve(web, "dist")];
  const confab = spawn(resolve(web, CONFAB), [...files, "--port", String(port), ...parameters], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  for (const stream of [confab.stdout, confab.stderr]) stream.on("data", (data) => output.push(String(data)));
  confab.on("error", (error) => output.push(String(error)));
  const url = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + DEADLINE;
  while (!(await isUp(url))) {
    assert.ok(confab.exitCode === null && Date.now() < deadline, `The server did not start: ${output.join("")}`);
    await pause(50);
  }
  return {
    url,
    api: url,
    stop: async () => {
      confab.kill();
      if (confab.exitCode === null && confab.signalCode === null) await once(confab, "exit");
    },
  };
}

async function isUp(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

/** A port that is free together with the four after it, which the server uses as well. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + 5 * Math.floor(Math.random() * 2_400);
    const free = await Promise.all([0, 1, 2, 3, 4].map((offset) => isFree(port + offset)));
    if (free.every(Boolean)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
