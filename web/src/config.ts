/** Where the server is: what `config.json` beside the page says, or else where the page came from. */

export interface Config {
  /** The HTTP API. */
  readonly api: string;
  /** The sockets. */
  readonly websocket: string;
}

export async function readConfig(): Promise<Config> {
  const { origin, host, protocol } = location;
  const { api, websocket } = await given();
  return { api: api || origin, websocket: websocket || `${protocol === "https:" ? "wss" : "ws"}://${host}/ws` };
}

/** A missing file is as good as an empty one. */
async function given(): Promise<Partial<Config>> {
  try {
    const response = await fetch("config.json", { cache: "no-cache" });
    return response.ok ? await response.json() : {};
  } catch {
    return {};
  }
}
