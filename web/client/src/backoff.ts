import type { Environment } from "./environment.js";

/** In milliseconds. */
const BASE_DELAY = 500;
const MAX_DELAY = 30_000;

/**
 * Exponential backoff with full jitter: a random delay of up to 0.5 seconds, doubled with each attempt up to 30
 * seconds.
 */
export class Backoff {
  readonly #random: () => number;
  #attempts = 0;

  constructor(environment: Environment) {
    this.#random = environment.random;
  }

  /** The next delay in milliseconds. Full jitter keeps many clients from reconnecting at the same time. */
  next(): number {
    const limit = Math.min(MAX_DELAY, BASE_DELAY * 2 ** this.#attempts);
    this.#attempts = Math.min(this.#attempts + 1, 16);
    return this.#random() * limit;
  }

  /** Starts again with the shortest delay, after a success. */
  reset(): void {
    this.#attempts = 0;
  }
}
