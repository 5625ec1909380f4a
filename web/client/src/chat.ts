/** A chat that is subscribed to: applies the log's entries in order, each once, and requests those that are missing. */

import { type Api, ApiError, isPermanent } from "./api.js";
import { Backoff } from "./backoff.js";
import { type Connection, RESPONSE_TIMEOUT } from "./connection.js";
import { Emitter } from "./emitter.js";
import type { Environment } from "./environment.js";
import { ReadMarker } from "./readMarker.js";
import { reloadHistory } from "./reloadHistory.js";
import { SharedRequest } from "./sharedRequest.js";
import { Timeline, TYPING_EXPIRY } from "./timeline.js";
import type { Entry, EphemeralState, ErrorFrame, Frame, LogEntry, PublishedFrame, SubscribedFrame } from "./wire.js";

/** The number of messages that are loaded at first. */
const PAGE_SIZE = 100;
/** The minimum interval in milliseconds between typing indicators, the same as the server's. */
const TYPING_INTERVAL = 6_000;

/**
 * `opening`: not loaded yet. `live`: up to date. `behind`: the timeline is outdated and is being updated. `left`: the
 * user is not (or no longer) a member, or subscribing failed permanently; `problem` says why. `closed`: closed by its
 * owner.
 */
export type ChatState = "opening" | "live" | "behind" | "left" | "closed";

interface ChatEventMap {
  state: ChatState;
  /** The timeline changed; emitted once for all changes of a task. */
  change: undefined;
  /** An entry was applied, in the order of the log. Entries that are covered by loaded history are not emitted. */
  entry: Entry;
  /** A frame arrived that another program published. */
  published: PublishedFrame;
}

/** The options of a {@link Chat}. */
export interface ChatOptions {
  readonly uri: string;
  /** The id of the logged-in user. */
  readonly me: number;
  readonly api: Api;
  readonly connection: Connection;
  readonly environment: Environment;
  /** Starts after this entry (0 for the whole log) instead of with the latest messages. */
  readonly after?: number | undefined;
}

/** A chat that is subscribed to. */
export class Chat extends Emitter<ChatEventMap> {
  readonly uri: string;
  #timeline: Timeline;
  #state: ChatState = "opening";
  #problem: string | undefined;
  #lastId: number;
  /** Entries that cannot be applied yet: those after a gap, and those that arrive while the history is loaded. */
  readonly #pending = new Map<number, LogEntry>();
  /** Cancels the timer of the next `subscribe`, which is set while one has no response or is delayed. */
  #cancelSubscribe: (() => void) | undefined;
  #isLoading = false;
  #skipPause = () => {};
  /** Whether the chat has been loaded once. */
  #isLoaded = false;
  #isChangeQueued = false;
  #typingSentAt = Number.NEGATIVE_INFINITY;
  readonly #olderRequest = new SharedRequest<boolean>();
  readonly #membersRequest = new SharedRequest<boolean>();
  /** How often the chat was loaded. */
  #loads = 0;
  readonly #abort = new AbortController();
  readonly #removeListeners: (() => void)[];
  readonly #backoff: Backoff;
  readonly #readMarker: ReadMarker;
  readonly #options: ChatOptions;

  constructor(options: ChatOptions) {
    super();
    this.uri = options.uri;
    this.#options = options;
    this.#backoff = new Backoff(options.environment);
    this.#lastId = options.after ?? 0;
    this.#timeline = new Timeline(options.me, options.after === undefined ? undefined : options.after + 1);
    const { connection, me, environment } = options;
    this.#readMarker = new ReadMarker({
      me,
      environment,
      send: (id) => connection.send({ action: "read", uri: this.uri, id }),
    });
    this.#removeListeners = [
      connection.on("frame", (frame) => this.#onFrame(frame)),
      connection.on("open", () => {
        this.#skipPause();
        this.#resubscribe();
      }),
      connection.on("retry", (uris) => uris.has(this.uri) && this.#resubscribe()),
      connection.on("state", (state) => state !== "open" && this.#state === "live" && this.#setState("behind")),
      this.#readMarker.sendOnHiding(),
    ];
    void this.#load();
  }

  get state(): ChatState {
    return this.#state;
  }

  /** Why the state is `left`, for display. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** The chat's messages and members; replaced if the server lost a part of the log, as after restoring a backup. */
  get timeline(): Timeline {
    return this.#timeline;
  }

  /** The id of the last entry that the timeline reflects. */
  get lastId(): number {
    return this.#lastId;
  }

  /** Loads older messages into the timeline, and returns whether there are more. Throws as the API does. */
  loadOlder(limit = PAGE_SIZE): Promise<boolean> {
    return this.#olderRequest.run(() => this.#requestOlder(limit));
  }

  /** Loads the next page of members into the timeline, and returns whether there are more. Throws as the API does. */
  loadMoreMembers(): Promise<boolean> {
    return this.#membersRequest.run(() => this.#requestMembers());
  }

  /**
   * Moves the user's read marker to an entry, by default the last one. The timeline has it at once. The server gets at
   * most one in five seconds, the last; without a connection, it is sent later.
   */
  markRead(id = this.#lastId): void {
    const readId = Math.min(id, this.#lastId);
    if (this.#state === "left" || this.#state === "closed" || !this.#readMarker.move(readId)) return;
    this.#timeline.applyEvent({ type: "read", uri: this.uri, read: { [this.#options.me]: readId } }, 0);
    this.#queueChange();
  }

  /** Sends a waiting read marker now, such as before the client closes. */
  sendReadMarker(): void {
    this.#readMarker.sendNow();
  }

  /** Sends a typing indicator, at most one per interval. Call it with each key press. */
  sendTyping(): void {
    const now = this.#options.environment.elapsed();
    if (now - this.#typingSentAt < TYPING_INTERVAL) return;
    if (this.#options.connection.send({ action: "typing", uri: this.uri })) this.#typingSentAt = now;
  }

  /** Unsubscribes. */
  close(): void {
    this.sendReadMarker();
    if (this.#state !== "left" && this.#end("closed")) this.#options.connection.unsubscribe(this.uri);
  }

  #setState(state: ChatState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.emit("state", state);
  }

  #queueChange(): void {
    if (this.#isChangeQueued) return;
    this.#isChangeQueued = true;
    queueMicrotask(() => {
      this.#isChangeQueued = false;
      this.emit("change", undefined);
    });
  }

  #resubscribe(): void {
    this.#cancelSubscribe?.();
    this.#cancelSubscribe = undefined;
    this.#subscribe();
  }

  #subscribe(): void {
    if (this.#isLoading || this.#cancelSubscribe) return;
    const { connection } = this.#options;
    const isSent = connection.subscribe({ uri: this.uri, after: this.#lastId });
    if (isSent) this.#subscribeIn(RESPONSE_TIMEOUT);
  }

  #subscribeIn(milliseconds: number): void {
    this.#cancelSubscribe?.();
    this.#cancelSubscribe = this.#options.environment.after(milliseconds, () => this.#resubscribe());
  }

  #onFrame(frame: Frame): void {
    if (!("uri" in frame) || frame.uri !== this.uri) return;
    switch (frame.type) {
      case "subscribed":
        this.#onSubscribed(frame);
        break;
      case "message":
      case "edited":
      case "deleted":
      case "reacted":
      case "unreacted":
      case "joined":
      case "left":
      case "owner":
      case "void":
        this.#onEntry(frame);
        // This does nothing while a response is awaited, which may fill the gap.
        if (this.#pending.size > 0) this.#subscribe();
        break;
      case "read":
      case "typing":
      case "online":
      case "offline": {
        const { environment } = this.#options;
        if (frame.type === "read") this.#readMarker.onMarkers(frame.read);
        this.#timeline.applyEvent(frame, environment.elapsed());
        // There is no event for a user who stops typing.
        if (frame.type === "typing") environment.after(TYPING_EXPIRY + 100, () => this.#queueChange());
        break;
      }
      case "unsubscribed":
        // Either the user is no longer a member, which the response will say, or this responds to the `close` of an
        // earlier object.
        this.#resubscribe();
        break;
      case "error":
        if (frame.action === "subscribe") this.#onSubscribeError(frame);
        if (frame.action === "read") this.#readMarker.onError(frame);
        break;
      case "sent":
      case "done":
      case "added":
        break;
      default:
        this.emit("published", frame);
    }
    this.#queueChange();
  }

  #onSubscribed(frame: SubscribedFrame): void {
    const isExpected = this.#cancelSubscribe !== undefined;
    this.#cancelSubscribe?.();
    this.#cancelSubscribe = undefined;
    if (!frame.recovered) {
      // A late response may be outdated.
      if (isExpected) void this.#load(this.#backoff.next());
      else if (frame.last_id > this.#lastId) this.#subscribe();
      return;
    }
    const before = this.#lastId;
    for (const entry of frame.entries) this.#onEntry(entry);
    if (frame.read !== undefined) this.#setEphemeralState(frame);
    // It did not fit into the response. Without it, presence may be outdated until the next events.
    else void this.#options.api.chat(this.uri, this.#abort.signal).then(this.#setEphemeralState, () => undefined);
    if (this.#isLoading) return;
    if (this.#pending.size > 0) {
      // There is still a gap: the pending entries are newer than this response. Back off if the response had nothing
      // new.
      if (this.#lastId > before) this.#subscribe();
      else this.#subscribeIn(this.#backoff.next());
      return;
    }
    this.#backoff.reset();
    this.#setState("live");
    this.#readMarker.sendLater();
  }

  #setEphemeralState = (state: EphemeralState): void => {
    this.#timeline.setEphemeralState(state);
    this.#readMarker.onMarkers(state.read);
    this.#queueChange();
  };

  #onEntry(entry: LogEntry): void {
    if (entry.id <= this.#lastId) return;
    this.#pending.set(entry.id, entry);
    if (!this.#isLoading) this.#drainPending();
  }

  /** Applies pending entries up to the next gap. */
  #drainPending(): void {
    for (let entry = this.#pending.get(this.#lastId + 1); entry; entry = this.#pending.get(this.#lastId + 1)) {
      this.#pending.delete(entry.id);
      this.#lastId = entry.id;
      if (entry.type === "void") continue;
      this.#timeline.apply(entry);
      this.emit("entry", entry);
    }
  }

  #onSubscribeError(frame: ErrorFrame): void {
    if (isPermanent(frame.status)) this.#leave(frame.detail);
    else this.#subscribeIn((frame.retry_after ?? 0) * 1000 + this.#backoff.next());
  }

  #leave(problem: string): void {
    this.#problem = problem;
    this.#end("left");
  }

  /** Loads the chat over HTTP, at first and when too much was missed, with retries. Then subscribes from there. */
  async #load(delay = 0): Promise<void> {
    if (this.#isLoading) return;
    this.#isLoading = true;
    if (this.#state === "live") this.#setState("behind");
    for (let pause = delay; this.#isLoading; ) {
      if (pause > 0) await this.#pause(pause);
      try {
        await this.#requestChat();
        this.#isLoading = false;
        this.#isLoaded = true;
        for (const id of this.#pending.keys()) if (id <= this.#lastId) this.#pending.delete(id);
        this.#drainPending();
        this.#queueChange();
        this.#subscribe();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        if (error instanceof ApiError && isPermanent(error.status)) {
          // 401 says nothing about the chat; the connection reports it.
          if (error.status !== 401) this.#leave(error.message);
          return;
        }
        const retryAfter = error instanceof ApiError ? error.retryAfter : undefined;
        pause = (retryAfter ?? 0) * 1000 + this.#backoff.next();
      }
    }
  }

  /** Waits for a time, or until there is a connection again. */
  async #pause(milliseconds: number): Promise<void> {
    let cancel = () => {};
    await new Promise<void>((resolve) => {
      cancel = this.#options.environment.after(milliseconds, resolve);
      this.#skipPause = resolve;
    });
    cancel();
  }

  async #requestChat(): Promise<void> {
    const { api, me } = this.#options;
    const { signal } = this.#abort;
    const detail = await api.chat(this.uri, signal);
    if (detail.last_id < this.#lastId) {
      // The log is shorter than before: the server was restored from a backup.
      this.#timeline = new Timeline(me);
      this.#lastId = 0;
      this.#readMarker.reset();
      this.#pending.clear();
    }
    const { timeline } = this;
    timeline.setDetail(detail);
    this.#readMarker.onMarkers(detail.read);
    this.#loads++;
    if (timeline.firstId === Number.POSITIVE_INFINITY) {
      timeline.addHistory(await api.history(this.uri, { limit: PAGE_SIZE }, signal));
    } else if (!this.#isLoaded) {
      // With the option `after`, everything that follows arrives as entries.
      return;
    } else {
      await reloadHistory(api, this.uri, timeline, detail.last_id, signal);
    }
    // No page is older than `detail`, so only entries after its `last_id` can be missing.
    this.#lastId = Math.max(this.#lastId, detail.last_id);
  }

  async #requestOlder(limit: number): Promise<boolean> {
    const { timeline } = this;
    const before = timeline.firstId;
    if (before > 1 && before < Number.POSITIVE_INFINITY) {
      const page = await this.#options.api.history(this.uri, { before, limit }, this.#abort.signal);
      // Meanwhile, the messages after this page may have been dropped.
      if (timeline === this.#timeline && timeline.firstId === before) timeline.addHistory(page);
      this.#queueChange();
    }
    return this.#timeline.firstId > 1;
  }

  async #requestMembers(): Promise<boolean> {
    const { timeline } = this;
    const [next, loads] = [timeline.membersNext, this.#loads];
    if (next !== null) {
      const page = await this.#options.api.members(this.uri, next, this.#abort.signal);
      // If the chat was loaded again meanwhile, this page may be outdated.
      if (loads === this.#loads) timeline.addMembers(page);
      this.#queueChange();
    }
    return this.#timeline.membersNext !== null;
  }

  #end(state: "left" | "closed"): boolean {
    if (this.#state === "left" || this.#state === "closed") return false;
    this.#cancelSubscribe?.();
    this.#readMarker.stop();
    this.#abort.abort();
    this.#isLoading = false;
    this.#skipPause();
    for (const removeListener of this.#removeListeners) removeListener();
    this.#setState(state);
    return true;
  }
}
