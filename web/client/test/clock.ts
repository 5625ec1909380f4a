/** A fake clock, and a seeded random number generator. */

interface Timer {
  readonly date: number;
  readonly run: () => void;
}

export class Clock {
  /** The monotonic clock. */
  elapsed = 12_345;
  #began = Date.UTC(2026, 10, 23, 16) - this.elapsed;
  readonly #timers = new Set<Timer>();

  /** The wall clock. Setting it does not affect timers. */
  get now(): number {
    return this.#began + this.elapsed;
  }

  set now(date: number) {
    this.#began = date - this.elapsed;
  }

  /** Runs a callback after a delay. */
  after(milliseconds: number, run: () => void): () => void {
    if (!(milliseconds >= 0)) throw new RangeError(`A timer of ${milliseconds} ms.`);
    const timer = { date: this.elapsed + milliseconds, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Advances the time, and runs all timers that are due. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.elapsed + milliseconds;
    await settled();
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#timers.delete(next);
      this.elapsed = next.date;
      next.run();
      await settled();
    }
    this.elapsed = end;
  }

  /** The next timer that is due by then; of several at the same time, the one that was set first. */
  #next(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) if (timer.date <= end && (!next || timer.date < next.date)) next = timer;
    return next;
  }
}

/** Waits until pending promises have settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A seeded generator of random numbers from 0 to 1 (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
