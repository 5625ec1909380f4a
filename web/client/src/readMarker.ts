/** The user's own read marker: sent at most once in five seconds, the last one, until the server knows it. */

import { isPermanent } from "./api.js";
import type { Environment } from "./environment.js";
import type { EphemeralState, ErrorFrame } from "./wire.js";

/** The minimum interval in milliseconds. Others see the marker about five seconds later anyway. */
const INTERVAL = 5_000;

/** The intervals until the marker is sent again. The response is the chat's next event, up to ten seconds later. */
const INTERVALS_FOR_RESPONSE = 4;

/** A page that is hidden may not come back. */
const HIDING_EVENTS = ["visibilitychange", "pagehide"];

/** The options of a {@link ReadMarker}. */
export interface ReadMarkerOptions {
  /** The id of the logged-in user. */
  readonly me: number;
  readonly environment: Environment;
  /** Sends the marker, and returns true if the socket is open. */
  readonly send: (id: number) => boolean;
}

/** The user's own read marker in a chat. */
export class ReadMarker {
  /** The entry up to which the user has read, and up to which the server knows it. */
  #id = 0;
  #knownId = 0;
  /** The entry that was sent last, and the intervals since then. */
  #sentId = 0;
  #intervals = 0;
  /** Cancels the timer that sends the marker, if it is set. */
  #cancelTimer: (() => void) | undefined;
  readonly #options: ReadMarkerOptions;

  constructor(options: ReadMarkerOptions) {
    this.#options = options;
  }

  /** Moves the marker forward, and returns whether it has moved. */
  move(id: number): boolean {
    if (id <= this.#id) return false;
    this.#id = id;
    this.sendLater();
    return true;
  }

  /** Sends the marker after the interval, unless it is waiting already or the server knows it. */
  sendLater(milliseconds = INTERVAL): void {
    if (this.#id <= this.#knownId) return;
    this.#cancelTimer ??= this.#options.environment.after(milliseconds, () => this.#onInterval());
  }

  #onInterval(): void {
    const isAgain = ++this.#intervals >= INTERVALS_FOR_RESPONSE;
    if (this.#id !== this.#sentId || isAgain) {
      this.#send();
    } else {
      this.stop();
      this.sendLater();
    }
  }

  /** Sends the marker now if it is waiting. */
  sendNow(): void {
    if (this.#cancelTimer && this.#id !== this.#sentId) this.#send();
  }

  #send(): void {
    this.stop();
    this.#sentId = this.#intervals = 0;
    // Again if there is no response. Without a connection, once there is one.
    if (this.#id <= this.#knownId || !this.#options.send(this.#id)) return;
    this.#sentId = this.#id;
    this.sendLater();
  }

  /** Sends a waiting marker when the page is hidden, until the returned function is called. */
  sendOnHiding(): () => void {
    const { window } = this.#options.environment;
    const listener = () => this.sendNow();
    for (const type of HIDING_EVENTS) window?.addEventListener(type, listener);
    return () => {
      for (const type of HIDING_EVENTS) window?.removeEventListener(type, listener);
    };
  }

  /** The server sent read markers, perhaps the user's among them. */
  onMarkers(read: EphemeralState["read"]): void {
    this.#knownId = Math.max(this.#knownId, read?.[this.#options.me] ?? 0);
    if (this.#id <= this.#knownId) this.stop();
  }

  /** The server rejected the marker. */
  onError({ status, retry_after = 0 }: ErrorFrame): void {
    this.stop();
    this.#sentId = 0;
    if (!isPermanent(status)) this.sendLater(Math.max(INTERVAL, retry_after * 1000));
  }

  /** The log was replaced. */
  reset(): void {
    this.stop();
    this.#id = this.#knownId = this.#sentId = 0;
  }

  /** Sends nothing until the marker moves. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}
