/** Where the server is: what `config.json` beside the page says, or else where the page came from. */

export interface Config {
  /** The HTTP API. */
  readonly api: string;
  /** The sockets. */
  readonly websocket: string;
}

/** All in milliseconds. */
const PATIENCE = 10_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;

/** Tries until it is known; `failed` is called whenever it is not. */
export async function readConfig(failed: () => void): Promise<Config> {
  const { origin, host, protocol } = location;
  for (let wait = FIRST_PAUSE; ; wait = Math.min(2 * wait, LONGEST_PAUSE)) {
    try {
      const { api, websocket } = await given();
      return { api: api || origin, websocket: websocket || `${protocol === "https:" ? "wss" : "ws"}://${host}/ws` };
    } catch {
      failed();
    }
    await pause(wait);
  }
}

/** A missing file is as good as an empty one; some servers send the page itself in its place. Any other trouble passes. */
async function given(): Promise<Partial<Config>> {
  const response = await fetch("config.json", { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE) });
  if (response.status === 404 || response.status === 403) return {};
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  if (response.headers.get("Content-Type")?.startsWith("text/html")) return {};
  const config: unknown = await response.json();
  if (!isConfig(config)) throw new Error("This is no configuration.");
  return config;
}

function isConfig(value: unknown): value is Partial<Config> {
  if (typeof value !== "object" || value === null) return false;
  const { api = "", websocket = "" } = value as Record<string, unknown>;
  return typeof api === "string" && typeof websocket === "string";
}

/** Waits, but no longer than until the network is back. */
async function pause(milliseconds: number): Promise<void> {
  const waited = new AbortController();
  await new Promise<void>((resolve) => {
    setTimeout(resolve, milliseconds);
    addEventListener("online", () => resolve(), { signal: waited.signal });
  });
  waited.abort();
}
