import type { Environment } from "./environment.js";

const FIRST = 500;
const MOST = 30_000;

/** How long to wait before the next try: any time up to half a second, then up to twice as long each time, up to 30 seconds. */
export class Backoff {
  readonly #random: () => number;
  #tries = 0;

  constructor(environment: Environment) {
    this.#random = environment.random;
  }

  /** The next wait, in milliseconds. The whole of it is chance ("full jitter"), so that a crowd does not come back at once. */
  next(): number {
    const most = Math.min(MOST, FIRST * 2 ** this.#tries);
    this.#tries = Math.min(this.#tries + 1, 16);
    return this.#random() * most;
  }

  /** The last try went well. */
  reset(): void {
    this.#tries = 0;
  }
}
