/** The URLs of the server and other settings, from `config.json` beside the page. By default the origin of the page. */

export interface Config {
  /** The HTTP API. */
  readonly api: string;
  /** The WebSocket API. */
  readonly websocket: string;
  /** Whether to offer registration. */
  readonly registration: boolean;
}

/** All in milliseconds. */
const REQUEST_TIMEOUT = 10_000;
const MIN_DELAY = 500;
const MAX_DELAY = 30_000;

/** Loads the configuration, with retries. `onError` is called after each failure. */
export async function loadConfig(onError: () => void): Promise<Config> {
  const { origin, host, protocol } = location;
  for (let delay = MIN_DELAY; ; delay = Math.min(2 * delay, MAX_DELAY)) {
    try {
      const { api, websocket, registration = true } = await fetchConfig();
      const socketUrl = websocket || `${protocol === "https:" ? "wss" : "ws"}://${host}/ws`;
      return { api: api || origin, websocket: socketUrl, registration };
    } catch {
      onError();
    }
    await pause(delay);
  }
}

/**
 * A missing file is the same as an empty one; some servers send the page itself in its place. Any other error is
 * temporary.
 */
async function fetchConfig(): Promise<Partial<Config>> {
  const response = await fetch("config.json", { cache: "no-cache", signal: AbortSignal.timeout(REQUEST_TIMEOUT) });
  if (response.status === 404 || response.status === 403) return {};
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  if (response.headers.get("Content-Type")?.startsWith("text/html")) return {};
  const config: unknown = await response.json();
  if (!isConfig(config)) throw new Error("The configuration is not valid.");
  return config;
}

function isConfig(value: unknown): value is Partial<Config> {
  if (typeof value !== "object" || value === null) return false;
  const { api = "", websocket = "", registration = true } = value as Record<string, unknown>;
  return typeof api === "string" && typeof websocket === "string" && typeof registration === "boolean";
}

/** Waits for a time, or until the network is back. */
async function pause(milliseconds: number): Promise<void> {
  const controller = new AbortController();
  await new Promise<void>((resolve) => {
    setTimeout(resolve, milliseconds);
    addEventListener("online", () => resolve(), { signal: controller.signal });
  });
  controller.abort();
}
