/** The platform APIs that the library uses. Tests replace the clock and the network. */

/** The part of a WebSocket that is used here. */
export type Socket = Pick<WebSocket, "send" | "close" | "onopen" | "onmessage" | "onclose" | "onerror">;

/** The platform APIs that the library uses. */
export interface Environment {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly WebSocket: new (url: string, protocols: string[]) => Socket;
  /**
   * The wall clock, in milliseconds since 1970. It can be set back, so use it for stored dates only, never for
   * intervals.
   */
  readonly now: () => number;
  /** A monotonic clock for intervals, in milliseconds since an arbitrary moment. */
  readonly elapsed: () => number;
  /** Calls `run` after a delay in milliseconds. The returned function cancels the timer. */
  readonly after: (milliseconds: number, run: () => void) => () => void;
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number;
  readonly randomUUID: () => string;
  /** The target of `online`, `offline` and `visibilitychange` events, if any. */
  readonly window: Pick<EventTarget, "addEventListener" | "removeEventListener"> | undefined;
}

/** The APIs of the browser or Node, except for those that are given. */
export function createEnvironment(overrides: Partial<Environment> = {}): Environment {
  return {
    fetch: (url, init) => fetch(url, init),
    WebSocket: globalThis.WebSocket,
    now: () => Date.now(),
    elapsed: () => performance.now(),
    after,
    random: () => Math.random(),
    randomUUID,
    window: typeof globalThis.addEventListener === "function" ? globalThis : undefined,
    ...overrides,
  };
}

/** `setTimeout` stores its delay in 32 bits; a longer delay would fire at once. */
const MAX_TIMEOUT = 2 ** 31 - 1;

function after(milliseconds: number, run: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const start = (remaining: number) => {
    const next = () => (remaining > MAX_TIMEOUT ? start(remaining - MAX_TIMEOUT) : run());
    timer = setTimeout(next, Math.min(remaining, MAX_TIMEOUT));
  };
  start(milliseconds);
  return () => clearTimeout(timer);
}

/**
 * `crypto.randomUUID` exists in secure contexts only. Keys need only be unique, so 32 hexadecimal digits suffice
 * elsewhere.
 */
function randomUUID(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
