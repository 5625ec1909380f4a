/** The subscriptions of a socket: many chats share a frame, and a frame that failed is sent again as one. */

import { isPermanent } from "./api.js";
import { Backoff } from "./backoff.js";
import type { Environment } from "./environment.js";
import type { Action, ErrorFrame, Subscription } from "./wire.js";

/** The maximum number of chats in a `subscribe` frame. */
const MAX_SUBSCRIPTIONS = 100;

/** The options of {@link Subscriptions}. */
export interface SubscriptionsOptions {
  readonly environment: Environment;
  readonly send: (action: Action) => void;
  /** Called when these chats should subscribe again. */
  readonly retry: (uris: ReadonlySet<string>) => void;
}

/** The subscriptions of a socket. */
export class Subscriptions {
  /** The chats whose `subscribe` has no response yet, is not sent yet, or is sent again later. */
  readonly #pending = new Set<string>();
  /** The chats whose `subscribe` is sent next, by uri. */
  readonly #unsent = new Map<string, Subscription>();
  /** The chats that the server may have subscribed the socket to. */
  readonly #subscribed = new Set<string>();
  /** The frames of several chats that have no response yet, the oldest first: their chats by uri. */
  readonly #inFlight = new Set<Map<string, Subscription>>();
  /** The chats of each frame that failed and is sent again later, and what cancels its timer. */
  readonly #failed = new Map<Set<string>, () => void>();
  #cancelSend = () => {};
  readonly #backoff: Backoff;
  readonly #options: SubscriptionsOptions;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.environment);
  }

  /** Whether a chat waits for its response. */
  get isPending(): boolean {
    return this.#pending.size > 0;
  }

  /** Adds a chat to the next frame, unless its frame failed: then it waits for the others. */
  add(subscription: Subscription): void {
    const { uri } = subscription;
    this.#pending.add(uri);
    for (const uris of this.#failed.keys()) if (uris.has(uri)) return;
    if (this.#unsent.size === 0) {
      this.#cancelSend();
      this.#cancelSend = this.#options.environment.after(0, () => this.#sendUnsent());
    }
    this.#unsent.set(uri, subscription);
  }

  /** Unsubscribes from a chat. A `subscribe` that is not sent yet is dropped. */
  remove(uri: string): void {
    this.#unsent.delete(uri);
    this.onResponse(uri);
    if (this.#subscribed.delete(uri)) this.#options.send({ action: "unsubscribe", uri });
  }

  /** The `subscribe` of a chat has its response. */
  onResponse(uri: string): void {
    this.#pending.delete(uri);
    this.#removeFromFrames(uri);
  }

  /** A frame of several chats succeeded. */
  onSuccess(): void {
    this.#backoff.reset();
  }

  /**
   * A frame of several chats failed as a whole. The error does not say which, so it is attributed to the oldest; the
   * chats of any other are repeated when they had no response for some time. Returns the chats that failed
   * permanently.
   */
  onError(error: ErrorFrame): string[] {
    const [chats] = this.#inFlight;
    if (!chats) return [];
    this.#inFlight.delete(chats);
    if (error.status === 400) {
      // A server of an earlier version does not know several chats in a frame.
      for (const { uri, after } of chats.values()) this.#options.send({ action: "subscribe", uri, after });
      return [];
    }
    if (isPermanent(error.status)) return [...chats.keys()];
    const uris = new Set(chats.keys());
    const delay = (error.retry_after ?? 0) * 1000 + this.#backoff.next();
    const cancel = this.#options.environment.after(delay, () => {
      this.#failed.delete(uris);
      this.#options.retry(uris);
    });
    this.#failed.set(uris, cancel);
    return [];
  }

  /** Sends nothing more. */
  stop(): void {
    this.#cancelSend();
    for (const cancel of this.#failed.values()) cancel();
    this.#failed.clear();
    this.#inFlight.clear();
  }

  #sendUnsent(): void {
    const chats = [...this.#unsent.values()];
    this.#unsent.clear();
    for (const { uri } of chats) {
      this.#subscribed.add(uri);
      // A chat that is repeated belongs to its new frame.
      this.#removeFromFrames(uri);
    }
    for (let start = 0; start < chats.length; start += MAX_SUBSCRIPTIONS) {
      const chunk = chats.slice(start, start + MAX_SUBSCRIPTIONS);
      const [only] = chunk;
      if (only && chunk.length === 1) {
        this.#options.send({ action: "subscribe", uri: only.uri, after: only.after });
      } else {
        this.#inFlight.add(new Map(chunk.map((chat) => [chat.uri, chat])));
        this.#options.send({ action: "subscribe", chats: chunk });
      }
    }
  }

  #removeFromFrames(uri: string): void {
    for (const chats of this.#inFlight) if (chats.delete(uri) && chats.size === 0) this.#inFlight.delete(chats);
    for (const [uris, cancel] of this.#failed) {
      if (!uris.delete(uri) || uris.size > 0) continue;
      cancel();
      this.#failed.delete(uris);
    }
  }
}
