/** The outbox: messages that are sent until the server confirms that they are in the log. */

import { isPermanent } from "./api.js";
import { Backoff } from "./backoff.js";
import { type Connection, RESPONSE_TIMEOUT } from "./connection.js";
import { Emitter } from "./emitter.js";
import type { Environment } from "./environment.js";
import { toWellFormed, validateMessage } from "./text.js";
import type { ErrorFrame, Frame, SentFrame } from "./wire.js";

/**
 * How long an idempotency key is used: the server keeps it for a day, less an hour of margin. After that, sending again
 * could post the message twice, so the user has to decide.
 */
const KEY_LIFETIME = 23 * 3600_000;

/** A message is refused after this many failures, which takes three to six minutes, until the user retries it. */
const MAX_FAILURES = 16;
/** The prefix of the error detail for a reply to a missing or deleted message. */
const REPLY_ERROR_PREFIX = "reply_to:";

/** The storage of the outbox, such as the browser's `localStorage`. */
export type OutboxStorage = Pick<Storage, "length" | "key" | "getItem" | "setItem" | "removeItem">;

/** A message in the outbox. It is stored as JSON, so the names of its fields must not change. */
export interface OutboxMessage {
  /** The idempotency key, the same for all attempts. */
  readonly key: string;
  readonly uri: string;
  readonly message: string;
  readonly replyTo?: number;
  /** When it was written, in milliseconds since 1970. Unique. */
  readonly date: number;
  /** When it was sent first. */
  readonly tried?: number;
  /**
   * The number of failures: error frames, no response on a live socket, or a socket that closed before the response.
   */
  readonly failures?: number;
  /**
   * `sending`: was sent at least once. `refused`: is not retried automatically. `sent`: is in the log, but not in the
   * timeline yet.
   */
  readonly state: "queued" | "sending" | "refused" | "sent";
  /** Why it was refused, for display. */
  readonly problem?: string;
  /** The message that it replies to no longer exists. It can be sent without the reply. */
  readonly isReplyLost?: boolean;
  /** Its id, once it is sent. */
  readonly id?: number;
}

interface OutboxEventMap {
  /** The messages for the chat with this uri changed. */
  change: string;
  /** A message is in the log now. */
  sent: OutboxMessage;
}

/** A pending timer of a chat: for the response to the message with this key, or (without a key) for the next retry. */
interface PendingTimer {
  readonly key: string | undefined;
  cancel(): void;
}

/** The options of an {@link Outbox}. */
export interface OutboxOptions {
  readonly connection: Connection;
  readonly environment: Environment;
  readonly storage?: OutboxStorage | undefined;
  /** The id of the logged-in user. Users of the same browser have separate outboxes. */
  readonly me: number;
}

/** Messages to be sent, in the order in which they were written, one at a time in each chat. */
export class Outbox extends Emitter<OutboxEventMap> {
  /** By key, in the order of their dates. */
  readonly #messages = new Map<string, OutboxMessage>();
  /** By uri of the chat. */
  readonly #timers = new Map<string, PendingTimer>();
  readonly #prefix: string;
  readonly #backoff: Backoff;
  readonly #options: OutboxOptions;

  constructor(options: OutboxOptions) {
    super();
    this.#options = options;
    this.#backoff = new Backoff(options.environment);
    this.#prefix = `confab.outbox.${options.me}.`;
    this.#restore();
    options.connection.on("frame", (frame) => this.#onFrame(frame));
    options.connection.on("open", () => {
      // Includes unsent messages of other windows that have been closed.
      this.#restore();
      this.#sendAll();
    });
    options.connection.on("state", (state) => {
      if (state === "open") return;
      // The gateway may have closed the socket because of the message that was sent last.
      if (state !== "closed" && state !== "expired")
        for (const message of this.#inFlight()) this.#countFailure(message);
      this.#cancelTimers();
    });
  }

  /** The messages for a chat that are not in its log or its timeline yet, oldest first. */
  of(uri: string): readonly OutboxMessage[] {
    return [...this.#messages.values()].filter((message) => message.uri === uri);
  }

  /** All messages that are not in a log yet, including refused ones, oldest first. */
  get unsent(): readonly OutboxMessage[] {
    return [...this.#messages.values()].filter(({ state }) => state !== "sent");
  }

  /** Adds a message, which is sent as soon as possible. An invalid message is refused at once. */
  add(uri: string, message: string, replyTo?: number): OutboxMessage {
    const { environment } = this.#options;
    const last = Math.max(0, ...[...this.#messages.values()].map(({ date }) => date));
    const added = validated({
      key: environment.randomUUID(),
      uri,
      message,
      ...(replyTo !== undefined && { replyTo }),
      date: Math.max(environment.now(), last + 1),
      state: "queued",
    });
    this.#save(added);
    this.#send(added.uri);
    return added;
  }

  /** Retries a refused message; `withoutReply` drops its reference to the message that it replies to. */
  retry(key: string, { withoutReply = false } = {}): void {
    const message = this.#messages.get(key);
    if (message?.state !== "refused") return;
    const { uri, message: text, date, tried } = message;
    const replyTo = withoutReply ? undefined : message.replyTo;
    if (tried === undefined || this.#isKeyValid(tried)) {
      // The message may be in the log although it was refused later, so the key stays.
      const known = { ...(replyTo !== undefined && { replyTo }), ...(tried !== undefined && { tried }) };
      this.#save(validated({ key, uri, message: text, date, ...known, state: "queued" }));
      this.#send(uri);
    } else {
      this.#remove(key);
      this.add(uri, text, replyTo);
    }
  }

  /** Drops a refused message. */
  discard(key: string): void {
    const message = this.#messages.get(key);
    if (message?.state !== "refused") return;
    this.#remove(key);
    this.emit("change", message.uri);
  }

  /** Removes the sent messages that the chat's timeline shows, which is all with an id up to `lastId`. */
  removeShown(uri: string, lastId: number): void {
    const shown = this.of(uri).filter(({ id }) => id !== undefined && id <= lastId);
    for (const { key } of shown) this.#messages.delete(key);
    if (shown.length > 0) this.emit("change", uri);
  }

  /**
   * Whether the server still has a key that was first sent then. A date in the future means that the clock was set
   * back.
   */
  #isKeyValid(tried: number): boolean {
    return Math.abs(this.#options.environment.now() - tried) < KEY_LIFETIME;
  }

  #sendAll(): void {
    this.#cancelTimers();
    for (const uri of new Set([...this.#messages.values()].map((message) => message.uri))) this.#send(uri);
  }

  #cancelTimers(): void {
    for (const { cancel } of this.#timers.values()) cancel();
    this.#timers.clear();
  }

  /** Sends the next message of a chat, unless one is in flight. */
  #send(uri: string): void {
    const { connection, environment } = this.#options;
    const next = this.of(uri).find(({ state }) => state === "queued" || state === "sending");
    if (!next || this.#timers.has(uri) || connection.state !== "open") return;
    if (next.tried !== undefined && !this.#isKeyValid(next.tried)) {
      this.#save(refuse(next, "It is not known whether this was sent. Look before you send it again."));
      this.#send(uri);
      return;
    }
    const { key, message, replyTo } = next;
    // The stored message must have `tried` before it is sent.
    this.#save({ ...next, tried: next.tried ?? environment.now(), state: "sending" });
    connection.send({ action: "send", uri, message, key, ...(replyTo !== undefined && { reply_to: replyTo }) });
    const sentAt = environment.elapsed();
    this.#setTimer(uri, RESPONSE_TIMEOUT, () => this.#onTimeout(key, sentAt), key);
  }

  #setTimer(uri: string, milliseconds: number, run: () => void, key?: string): void {
    this.#timers.get(uri)?.cancel();
    this.#timers.set(uri, { key, cancel: this.#options.environment.after(milliseconds, run) });
  }

  #sendNow(uri: string): void {
    this.#timers.get(uri)?.cancel();
    this.#timers.delete(uri);
    this.#send(uri);
  }

  /**
   * No response arrived in time. Without any other frame either, the socket may be dead, so that is not counted as a
   * failure.
   */
  #onTimeout(key: string, sentAt: number): void {
    const message = this.#messages.get(key);
    if (!message) return;
    if (this.#options.connection.hasReceivedSince(sentAt)) this.#countFailure(message);
    this.#sendNow(message.uri);
  }

  /** The messages that were sent and have no response yet. */
  #inFlight(): OutboxMessage[] {
    const keys = new Set([...this.#timers.values()].map(({ key }) => key));
    return this.unsent.filter(({ key }) => keys.has(key));
  }

  /** Counts a failure, and refuses the message after too many. */
  #countFailure(message: OutboxMessage): void {
    const failures = (message.failures ?? 0) + 1;
    const refused = refuse(message, `Sending this failed ${failures} times. Try again later.`);
    this.#save(failures < MAX_FAILURES ? { ...message, failures } : refused);
  }

  #onFrame(frame: Frame): void {
    if (frame.type !== "sent" && frame.type !== "error") return;
    const message = frame.key !== undefined ? this.#messages.get(frame.key) : this.#withoutKey(frame);
    // A message that was sent several times has several responses; the first one counts, unless it is a temporary
    // error.
    if (!message || message.state === "sent") return;
    if (frame.type === "sent") this.#onSent(message, frame);
    else if ((frame.action ?? "send") === "send" && message.state === "sending") this.#onError(message, frame);
  }

  /** The message that an error without a key refers to: a server that cannot parse a frame cannot repeat its key. */
  #withoutKey(frame: SentFrame | ErrorFrame): OutboxMessage | undefined {
    const inFlight = this.#inFlight();
    return frame.type === "error" && frame.uri === undefined && inFlight.length === 1 ? inFlight[0] : undefined;
  }

  #onSent(message: OutboxMessage, frame: SentFrame): void {
    const sent: OutboxMessage = { ...message, state: "sent", id: frame.id };
    this.#messages.set(message.key, sent);
    this.#tryStorage((storage) => storage.removeItem(this.#prefix + message.key));
    this.#backoff.reset();
    this.emit("change", message.uri);
    this.emit("sent", sent);
    this.#sendNow(message.uri);
  }

  #onError(message: OutboxMessage, frame: ErrorFrame): void {
    if (isPermanent(frame.status)) this.#save(refuse(message, frame.detail));
    else this.#countFailure(message);
    const { uri } = message;
    if (this.#messages.get(message.key)?.state === "refused") this.#sendNow(uri);
    else this.#setTimer(uri, (frame.retry_after ?? 0) * 1000 + this.#backoff.next(), () => this.#sendNow(uri));
  }

  #save(message: OutboxMessage): void {
    this.#messages.set(message.key, message);
    this.#tryStorage((storage) => storage.setItem(this.#prefix + message.key, JSON.stringify(message)));
    this.emit("change", message.uri);
  }

  #remove(key: string): void {
    this.#messages.delete(key);
    this.#tryStorage((storage) => storage.removeItem(this.#prefix + key));
  }

  /** Accesses the storage. Each message is a separate item, so two windows do not overwrite each other's messages. */
  #tryStorage(access: (storage: OutboxStorage) => void): void {
    try {
      if (this.#options.storage) access(this.#options.storage);
    } catch {
      // The storage is full or forbidden: then messages last as long as the page.
    }
  }

  /** Adds stored messages that are not in memory yet. */
  #restore(): void {
    const stored = this.#storedMessages().filter(({ key }) => !this.#messages.has(key));
    if (stored.length === 0) return;
    const all = [...this.#messages.values(), ...stored].sort((a, b) => a.date - b.date);
    this.#messages.clear();
    for (const message of all) this.#messages.set(message.key, message);
    for (const uri of new Set(stored.map((message) => message.uri))) this.emit("change", uri);
  }

  #storedMessages(): OutboxMessage[] {
    const names: string[] = [];
    const messages: OutboxMessage[] = [];
    this.#tryStorage((storage) => {
      for (let index = 0; index < storage.length; index++) names.push(storage.key(index) ?? "");
    });
    for (const name of names.filter((one) => one.startsWith(this.#prefix))) {
      this.#tryStorage((storage) => {
        const message = parseMessage(storage.getItem(name) ?? "");
        if (message && name === this.#prefix + message.key) messages.push(message);
        else storage.removeItem(name);
      });
    }
    return messages;
  }
}

/** The message with well-formed text, refused if it is not valid. */
function validated(message: OutboxMessage): OutboxMessage {
  const repaired = { ...message, uri: toWellFormed(message.uri), message: toWellFormed(message.message) };
  const problem = repaired.state === "refused" ? repaired.problem : validateMessage(repaired.message);
  return problem === undefined ? repaired : refuse(repaired, problem);
}

function refuse(message: OutboxMessage, problem: string): OutboxMessage {
  const isReplyLost =
    message.isReplyLost === true || (message.replyTo !== undefined && problem.startsWith(REPLY_ERROR_PREFIX));
  if (!isReplyLost) return { ...message, state: "refused", problem };
  return { ...message, state: "refused", problem: "The message that this replies to was deleted.", isReplyLost };
}

/** A stored message, or undefined if the item is not one. */
function parseMessage(text: string): OutboxMessage | undefined {
  try {
    const value = Object(JSON.parse(text)) as Partial<OutboxMessage>;
    const isMessage =
      [value.key, value.uri, value.message].every((part) => typeof part === "string") &&
      Number.isFinite(value.date) &&
      [value.tried, value.replyTo, value.failures].every((part) => part === undefined || Number.isFinite(part)) &&
      ["queued", "sending", "refused"].includes(value.state ?? "");
    return isMessage ? validated(value as OutboxMessage) : undefined;
  } catch {
    return undefined;
  }
}
