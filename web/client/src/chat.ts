/** One chat: it takes the log's entries in order, each once, and gets what is missing. */

import { type Api, ApiError, isFinal } from "./api.js";
import { Backoff } from "./backoff.js";
import { ANSWER, type Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import type { Environment } from "./environment.js";
import { Timeline, TYPING_SHOWN } from "./timeline.js";
import type { Entry, ErrorFrame, Frame, Published, Subscribed } from "./wire.js";

/** So many messages are read at first. */
const PAGE = 100;
/** So many of the last entries are read again, at most, when too much was missed; of what is before them one has to ask again. */
const REREAD = 2_000;
/** That one is typing is said once in so many milliseconds, as often as the server tells it. */
const TYPING = 3_000;

/**
 * `opening`: nothing is known yet. `live`: up to date. `behind`: what is shown was true, and more is on its way. `left`: one is not in this chat
 * (any more), or it cannot be listened to; `problem` says why. `closed`: by its owner.
 */
export type RoomState = "opening" | "live" | "behind" | "left" | "closed";

interface RoomEvents {
  state: RoomState;
  /** The timeline is not what it was; told once for all that came together. */
  change: undefined;
  /** An entry came, in the order of the log. What is read from the history, at first and after a long absence, is not told like this. */
  entry: Entry;
  /** Something came that another program published. */
  published: Published;
}

/** How a {@link Room} is made. */
export interface RoomOptions {
  readonly uri: string;
  /** One's own id. */
  readonly me: number;
  readonly api: Api;
  readonly connection: Connection;
  readonly environment: Environment;
  /** Starts behind this entry, 0 for the whole log, rather than with the last messages. */
  readonly after?: number | undefined;
}

/** A chat that is listened to. */
export class Room extends Emitter<RoomEvents> {
  readonly uri: string;
  #timeline: Timeline;
  #state: RoomState = "opening";
  #problem: string | undefined;
  #lastId: number;
  /** Entries beyond a hole, and those that come while the history is read. */
  readonly #beyond = new Map<number, Entry>();
  /** Stops waiting for the answer to a subscription, or for the moment to ask again. */
  #asked: (() => void) | undefined;
  #reading = false;
  #wake = () => {};
  /** Whether it is known how the chat was when this room was opened. */
  #started = false;
  #changed = false;
  #readId = 0;
  #typed = Number.NEGATIVE_INFINITY;
  #older: Promise<boolean> | undefined;
  #moreMembers: Promise<boolean> | undefined;
  /** How often the chat was read anew. */
  #looks = 0;
  readonly #abort = new AbortController();
  readonly #endings: (() => void)[];
  readonly #backoff: Backoff;
  readonly #options: RoomOptions;

  constructor(options: RoomOptions) {
    super();
    this.uri = options.uri;
    this.#options = options;
    this.#backoff = new Backoff(options.environment);
    this.#lastId = options.after ?? 0;
    this.#timeline = new Timeline(options.me, options.after === undefined ? undefined : options.after + 1);
    const { connection } = options;
    this.#endings = [
      connection.on("frame", (frame) => this.#take(frame)),
      connection.on("open", () => {
        this.#wake();
        this.#subscribeAnew();
      }),
      connection.on("state", (state) => state !== "open" && this.#state === "live" && this.#set("behind")),
    ];
    void this.#read();
  }

  get state(): RoomState {
    return this.#state;
  }

  /** Why it was left, for people to read. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** What the chat looks like. Another one after the server has lost its log, as by going back to a backup. */
  get timeline(): Timeline {
    return this.#timeline;
  }

  /** The id of the last entry that the timeline has. */
  get lastId(): number {
    return this.#lastId;
  }

  /** Reads older messages into the timeline, and tells whether there are more. Throws as the API does. */
  older(limit = PAGE): Promise<boolean> {
    this.#older ??= this.#readOlder(limit).finally(() => {
      this.#older = undefined;
    });
    return this.#older;
  }

  /** Reads the next page of members into the timeline, and returns whether there are more. Throws as the API does. */
  moreMembers(): Promise<boolean> {
    this.#moreMembers ??= this.#readMembers().finally(() => {
      this.#moreMembers = undefined;
    });
    return this.#moreMembers;
  }

  /** Says that one has read up to an entry, by default all. If that cannot be said now, it will be. */
  markRead(id = this.#lastId): void {
    this.#readId = Math.max(this.#readId, Math.min(id, this.#lastId));
    if (this.#readId > this.#ownReadId()) {
      this.#options.connection.send({ action: "read", uri: this.uri, id: this.#readId });
    }
  }

  /** Says that one is typing; to be called with each key that is pressed. */
  typing(): void {
    const now = this.#options.environment.elapsed();
    if (now - this.#typed < TYPING) return;
    if (this.#options.connection.send({ action: "typing", uri: this.uri })) this.#typed = now;
  }

  /** Stops listening. */
  close(): void {
    if (this.#state !== "left" && this.#end("closed")) {
      this.#options.connection.send({ action: "unsubscribe", uri: this.uri });
    }
  }

  #set(state: RoomState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.emit("state", state);
  }

  #change(): void {
    if (this.#changed) return;
    this.#changed = true;
    queueMicrotask(() => {
      this.#changed = false;
      this.emit("change", undefined);
    });
  }

  #ownReadId(): number {
    return this.#timeline.read.get(this.#options.me) ?? 0;
  }

  #subscribeAnew(): void {
    this.#asked?.();
    this.#asked = undefined;
    this.#subscribe();
  }

  #subscribe(): void {
    if (this.#reading || this.#asked) return;
    if (this.#options.connection.send({ action: "subscribe", uri: this.uri, after: this.#lastId })) this.#askIn(ANSWER);
  }

  #askIn(milliseconds: number): void {
    this.#asked?.();
    this.#asked = this.#options.environment.after(milliseconds, () => this.#subscribeAnew());
  }

  #take(frame: Frame): void {
    if (!("uri" in frame) || frame.uri !== this.uri) return;
    switch (frame.type) {
      case "subscribed":
        this.#subscribed(frame);
        break;
      case "message":
      case "edited":
      case "deleted":
      case "reacted":
      case "unreacted":
      case "joined":
      case "left":
      case "owner":
        this.#takeEntry(frame);
        // While something is asked for, the answer may fill the hole, and it is looked at again then.
        if (this.#beyond.size > 0) this.#subscribe();
        break;
      case "read":
      case "typing":
      case "online":
      case "offline": {
        const { environment } = this.#options;
        this.#timeline.note(frame, environment.elapsed());
        // Somebody who stops typing does not say so.
        if (frame.type === "typing") environment.after(TYPING_SHOWN + 100, () => this.#change());
        break;
      }
      case "unsubscribed":
        // Either one is not in this chat any more, which the answer will say, or this answers an earlier room's `close`.
        this.#subscribeAnew();
        break;
      case "error":
        if (frame.action === "subscribe") this.#refused(frame);
        break;
      case "sent":
      case "done":
      case "added":
        break;
      default:
        this.emit("published", frame);
    }
    this.#change();
  }

  #subscribed(frame: Subscribed): void {
    const wasAsked = this.#asked !== undefined;
    this.#asked?.();
    this.#asked = undefined;
    if (!frame.recovered) {
      // An answer that comes late may be about a long time ago.
      if (wasAsked) void this.#read(this.#backoff.next());
      else if (frame.last_id > this.#lastId) this.#subscribe();
      return;
    }
    const before = this.#lastId;
    for (const entry of frame.entries) this.#takeEntry(entry);
    this.#timeline.stand(frame);
    if (this.#reading) return;
    if (this.#beyond.size > 0) {
      // What came live is newer than this answer. If the answer brought nothing at all, there is time to ask again.
      if (this.#lastId > before) this.#subscribe();
      else this.#askIn(this.#backoff.next());
      return;
    }
    this.#backoff.reset();
    this.#set("live");
    this.markRead(this.#readId);
  }

  #takeEntry(entry: Entry): void {
    if (entry.id <= this.#lastId) return;
    this.#beyond.set(entry.id, entry);
    if (!this.#reading) this.#takeKept();
  }

  /** Takes in what is kept, up to the next hole. */
  #takeKept(): void {
    for (let entry = this.#beyond.get(this.#lastId + 1); entry; entry = this.#beyond.get(this.#lastId + 1)) {
      this.#beyond.delete(entry.id);
      this.#lastId = entry.id;
      this.#timeline.apply(entry);
      this.emit("entry", entry);
    }
  }

  #refused(frame: ErrorFrame): void {
    if (isFinal(frame.status)) this.#leave(frame.detail);
    else this.#askIn((frame.retry_after ?? 0) * 1000 + this.#backoff.next());
  }

  #leave(problem: string): void {
    this.#problem = problem;
    this.#end("left");
  }

  /** Reads how the chat is, at first and when too much was missed, until that succeeds. Then it listens from there. */
  async #read(wait = 0): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    if (this.#state === "live") this.#set("behind");
    for (let pause = wait; this.#reading; ) {
      if (pause > 0) await this.#pause(pause);
      try {
        await this.#catchUp();
        this.#reading = false;
        this.#started = true;
        for (const id of this.#beyond.keys()) if (id <= this.#lastId) this.#beyond.delete(id);
        this.#takeKept();
        this.#change();
        this.#subscribe();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        if (error instanceof ApiError && isFinal(error.status)) {
          // Without a good token there is nothing to be known of the chat; the connection tells of that.
          if (error.status !== 401) this.#leave(error.message);
          return;
        }
        pause = ((error as Partial<ApiError>).retryAfter ?? 0) * 1000 + this.#backoff.next();
      }
    }
  }

  /** Waits, but no longer than until there is a connection again. */
  async #pause(milliseconds: number): Promise<void> {
    let cancel = () => {};
    await new Promise<void>((resolve) => {
      cancel = this.#options.environment.after(milliseconds, resolve);
      this.#wake = resolve;
    });
    cancel();
  }

  async #catchUp(): Promise<void> {
    const { api, me } = this.#options;
    const { signal } = this.#abort;
    const chat = await api.show(this.uri, signal);
    if (chat.last_id < this.#lastId) {
      // This is another log than the one that was seen: the server has gone back to a backup.
      this.#timeline = new Timeline(me);
      this.#lastId = this.#readId = 0;
      this.#beyond.clear();
    }
    const { timeline } = this;
    timeline.show(chat);
    this.#looks++;
    if (timeline.first === Number.POSITIVE_INFINITY) {
      timeline.load(await api.history(this.uri, { limit: PAGE }, signal));
    } else if (!this.#started) {
      // It was said where to start, so all that follows is to come as entries.
      return;
    } else {
      // History tells of messages only. Those that one has may have been edited, deleted or reacted to, so they are read again too.
      const after = Math.max(timeline.first - 1, chat.last_id - REREAD);
      timeline.forget(after + 1);
      let page = await api.history(this.uri, { after, limit: 1000 }, signal);
      timeline.load(page);
      while (page.next !== null) {
        page = await api.history(this.uri, page.next, signal);
        timeline.load(page);
      }
    }
    // Each page may be newer than `chat`, none is older: so what has happened since is what is missing.
    this.#lastId = Math.max(this.#lastId, chat.last_id);
  }

  async #readOlder(limit: number): Promise<boolean> {
    const { timeline } = this;
    const before = timeline.first;
    if (before > 1 && before < Number.POSITIVE_INFINITY) {
      const page = await this.#options.api.history(this.uri, { before, limit }, this.#abort.signal);
      // Meanwhile these may have been forgotten, before which this page comes.
      if (timeline === this.#timeline && timeline.first === before) timeline.load(page);
      this.#change();
    }
    return this.#timeline.first > 1;
  }

  async #readMembers(): Promise<boolean> {
    const { timeline } = this;
    const [next, looks] = [timeline.membersNext, this.#looks];
    if (next !== null) {
      const page = await this.#options.api.members(this.uri, next, this.#abort.signal);
      // If the chat was read anew meanwhile, this page may be older than that.
      if (looks === this.#looks) timeline.addMembers(page);
      this.#change();
    }
    return this.#timeline.membersNext !== null;
  }

  #end(state: "left" | "closed"): boolean {
    if (this.#state === "left" || this.#state === "closed") return false;
    this.#asked?.();
    this.#abort.abort();
    this.#reading = false;
    this.#wake();
    for (const end of this.#endings) end();
    this.#set(state);
    return true;
  }
}
