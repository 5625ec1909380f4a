/** What the library uses of its surroundings. Tests put a clock and a network of their own in its place. */

/** As much of a WebSocket as is used here. */
export type Socket = Pick<WebSocket, "send" | "close" | "onopen" | "onmessage" | "onclose" | "onerror">;

/** What the library uses of its surroundings. */
export interface Environment {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly WebSocket: new (url: string, protocols: string[]) => Socket;
  /** The wall clock, in milliseconds since 1970. It can be set back, so use it for stored dates only, never for intervals. */
  readonly now: () => number;
  /** A monotonic clock, in milliseconds since an arbitrary moment, for intervals. */
  readonly elapsed: () => number;
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
    elapsed: () => performance.now(),
    after,
    random: () => Math.random(),
    randomUUID,
    window: typeof globalThis.addEventListener === "function" ? globalThis : undefined,
    ...own,
  };
}

/** `setTimeout` stores its delay in 32 bits; a longer delay would fire at once. */
const LONGEST = 2 ** 31 - 1;

function after(milliseconds: number, run: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const wait = (left: number) => {
    timer = setTimeout(() => (left > LONGEST ? wait(left - LONGEST) : run()), Math.min(left, LONGEST));
  };
  wait(milliseconds);
  return () => clearTimeout(timer);
}

/** Pages that did not come over HTTPS lack `crypto.randomUUID`. Keys need only differ, so the digits alone will do there. */
function randomUUID(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
