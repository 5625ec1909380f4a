/** What the library uses of its surroundings. Tests put a clock and a network of their own in its place. */

/** As much of a WebSocket as is used here. */
export type Socket = Pick<WebSocket, "send" | "close" | "onopen" | "onmessage" | "onclose" | "onerror">;

/** What the library uses of its surroundings. */
export interface Environment {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly WebSocket: new (url: string, protocols: string[]) => Socket;
  /** The time, in milliseconds. */
  readonly now: () => number;
  /** Runs something in so many milliseconds, unless the function that is returned is called before. */
  readonly after: (milliseconds: number, run: () => void) => () => void;
  /** A number from 0 up to 1. */
  readonly random: () => number;
  readonly randomUUID: () => string;
  /** Where `online`, `offline` and `visibilitychange` are told, if anywhere. */
  readonly window: Pick<EventTarget, "addEventListener" | "removeEventListener"> | undefined;
}

/** The browser's or Node's own, but for what is given. */
export function environment(own: Partial<Environment> = {}): Environment {
  return {
    fetch: (url, init) => fetch(url, init),
    WebSocket: globalThis.WebSocket,
    now: () => Date.now(),
    after: (milliseconds, run) => {
      const timer = setTimeout(run, milliseconds);
      return () => clearTimeout(timer);
    },
    random: () => Math.random(),
    randomUUID,
    window: typeof globalThis.addEventListener === "function" ? globalThis : undefined,
    ...own,
  };
}

/** Pages that did not come over HTTPS lack `crypto.randomUUID`. Keys need only differ, so the digits alone will do there. */
function randomUUID(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
