/** The outbox: messages that are to be sent, until the server has said that they are in the log. */

import { isFinal } from "./api.js";
import { Backoff } from "./backoff.js";
import { ANSWER, type Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import type { Environment } from "./environment.js";
import type { ErrorFrame, Frame, Sent } from "./wire.js";

/** The server knows a key for a day. What was tried longer ago (less an hour) might be posted twice, so somebody has to decide. */
const REMEMBERED = 23 * 3600_000;

/** Where the outbox is kept while the page is not there: the browser's `localStorage` will do. */
export type OutboxStorage = Pick<Storage, "length" | "key" | "getItem" | "setItem" | "removeItem">;

/** A message in the outbox. */
export interface OutboxMessage {
  /** The idempotency key that it is sent with, however often. */
  readonly key: string;
  readonly uri: string;
  readonly message: string;
  readonly replyTo?: number;
  /** When it was written, in milliseconds; no two are the same. */
  readonly date: number;
  /** When it was first tried to send it. */
  readonly tried?: number;
  /** `sending` has been tried; `refused` is for good, unless it is tried again; `sent` is what the room has not shown yet. */
  readonly state: "queued" | "sending" | "refused" | "sent";
  /** Why it was refused. */
  readonly problem?: string;
  /** Its id, once it is sent. */
  readonly id?: number;
}

interface OutboxEvents {
  /** Something changed about the messages for the chat with this uri. */
  change: string;
  /** A message is in the log now. */
  sent: OutboxMessage;
}

/** How an {@link Outbox} is made. */
export interface OutboxOptions {
  readonly connection: Connection;
  readonly environment: Environment;
  readonly storage?: OutboxStorage | undefined;
  /** One's own id: others who log in on the same computer have an outbox of their own. */
  readonly me: number;
}

/** Messages that are to be sent: in the order in which they were written, in each chat one at a time. */
export class Outbox extends Emitter<OutboxEvents> {
  /** In the order of their dates. */
  readonly #messages = new Map<string, OutboxMessage>();
  /** For each chat, what stops waiting for an answer or for the moment to try again. */
  readonly #waits = new Map<string, () => void>();
  readonly #prefix: string;
  readonly #backoff: Backoff;
  readonly #options: OutboxOptions;

  constructor(options: OutboxOptions) {
    super();
    this.#options = options;
    this.#backoff = new Backoff(options.environment);
    this.#prefix = `confab.outbox.${options.me}.`;
    this.#restore();
    options.connection.on("frame", (frame) => this.#take(frame));
    options.connection.on("open", () => {
      // What another window has left behind unsent has nobody else to send it.
      this.#restore();
      this.#sendAll();
    });
    options.connection.on("state", (state) => (state === "closed" || state === "expired") && this.#stop());
  }

  /** The messages for a chat that are not in its log yet, or not shown yet, oldest first. */
  of(uri: string): readonly OutboxMessage[] {
    return [...this.#messages.values()].filter((message) => message.uri === uri);
  }

  /** All messages that are not in a log yet, those that were refused included, oldest first. */
  get unsent(): readonly OutboxMessage[] {
    return [...this.#messages.values()].filter(({ state }) => state !== "sent");
  }

  /** Puts in a message, which is sent as soon as that is possible. */
  add(uri: string, message: string, replyTo?: number): OutboxMessage {
    const { environment } = this.#options;
    const last = Math.max(0, ...[...this.#messages.values()].map(({ date }) => date));
    const added: OutboxMessage = {
      key: environment.randomUUID(),
      uri,
      message,
      ...(replyTo !== undefined && { replyTo }),
      date: Math.max(environment.now(), last + 1),
      state: "queued",
    };
    this.#keep(added);
    this.#send(uri);
    return added;
  }

  /** Tries a refused message again. */
  retry(key: string): void {
    const message = this.#messages.get(key);
    if (message?.state !== "refused") return;
    const { problem: _, ...rest } = message;
    if (message.tried === undefined || this.#isRemembered(message.tried)) {
      // It may be in the log although it was refused later, so the key stays.
      this.#keep({ ...rest, state: "queued" });
      this.#send(message.uri);
    } else {
      this.#drop(key);
      this.add(message.uri, message.message, message.replyTo);
    }
  }

  /** Drops a refused message. */
  discard(key: string): void {
    const message = this.#messages.get(key);
    if (message?.state !== "refused") return;
    this.#drop(key);
    this.emit("change", message.uri);
  }

  /** The room shows entries up to this one: what was sent up to there need not be shown beside it any more. */
  settle(uri: string, lastId: number): void {
    const shown = this.of(uri).filter(({ id }) => id !== undefined && id <= lastId);
    for (const { key } of shown) this.#messages.delete(key);
    if (shown.length > 0) this.emit("change", uri);
  }

  #isRemembered(tried: number): boolean {
    return this.#options.environment.now() - tried < REMEMBERED;
  }

  #sendAll(): void {
    this.#stop();
    for (const uri of new Set([...this.#messages.values()].map((message) => message.uri))) this.#send(uri);
  }

  #stop(): void {
    for (const cancel of this.#waits.values()) cancel();
    this.#waits.clear();
  }

  /** Sends the next message for a chat, unless one is under way. */
  #send(uri: string): void {
    const { connection, environment } = this.#options;
    const next = this.of(uri).find(({ state }) => state === "queued" || state === "sending");
    if (!next || this.#waits.has(uri) || connection.state !== "open") return;
    if (next.tried !== undefined && !this.#isRemembered(next.tried)) {
      this.#refuse(next, "It is not known whether this was sent. Look before you send it again.");
      return;
    }
    const { key, message, replyTo } = next;
    // What is kept must say that it was tried before it is.
    this.#keep({ ...next, tried: next.tried ?? environment.now(), state: "sending" });
    connection.send({ action: "send", uri, message, key, ...(replyTo !== undefined && { reply_to: replyTo }) });
    this.#sendIn(uri, ANSWER);
  }

  #sendIn(uri: string, milliseconds: number): void {
    this.#waits.get(uri)?.();
    const cancel = this.#options.environment.after(milliseconds, () => this.#sendNow(uri));
    this.#waits.set(uri, cancel);
  }

  #sendNow(uri: string): void {
    this.#waits.get(uri)?.();
    this.#waits.delete(uri);
    this.#send(uri);
  }

  #take(frame: Frame): void {
    const isAnswer = frame.type === "sent" || (frame.type === "error" && frame.action === "send");
    const message = isAnswer && frame.key !== undefined ? this.#messages.get(frame.key) : undefined;
    // What is sent again has several answers; the first one counts, unless it is of no use.
    if (!message || message.state === "sent") return;
    if (frame.type === "sent") this.#sent(message, frame);
    else if (message.state === "sending") this.#failed(message, frame as ErrorFrame);
  }

  #sent(message: OutboxMessage, frame: Sent): void {
    const sent: OutboxMessage = { ...message, state: "sent", id: frame.id };
    this.#messages.set(message.key, sent);
    this.#store(() => this.#options.storage?.removeItem(this.#prefix + message.key));
    this.#backoff.reset();
    this.emit("change", message.uri);
    this.emit("sent", sent);
    this.#sendNow(message.uri);
  }

  #failed(message: OutboxMessage, frame: ErrorFrame): void {
    if (isFinal(frame.status)) this.#refuse(message, frame.detail);
    else this.#sendIn(message.uri, (frame.retry_after ?? 0) * 1000 + this.#backoff.next());
  }

  #refuse(message: OutboxMessage, problem: string): void {
    this.#keep({ ...message, state: "refused", problem });
    this.#sendNow(message.uri);
  }

  #keep(message: OutboxMessage): void {
    this.#messages.set(message.key, message);
    this.#store(() => this.#options.storage?.setItem(this.#prefix + message.key, JSON.stringify(message)));
    this.emit("change", message.uri);
  }

  #drop(key: string): void {
    this.#messages.delete(key);
    this.#store(() => this.#options.storage?.removeItem(this.#prefix + key));
  }

  /** Each message is an item of its own, so that two windows do not overwrite each other's. */
  #store(act: () => void): void {
    try {
      act();
    } catch {
      // No room, not allowed, or nothing of ours: then messages are kept for as long as the page is there.
    }
  }

  /** Takes in what is stored and not here yet. What is here is known better. */
  #restore(): void {
    const stored = this.#stored().filter(({ key }) => !this.#messages.has(key));
    if (stored.length === 0) return;
    const all = [...this.#messages.values(), ...stored].sort((a, b) => a.date - b.date);
    this.#messages.clear();
    for (const message of all) this.#messages.set(message.key, message);
    for (const uri of new Set(stored.map((message) => message.uri))) this.emit("change", uri);
  }

  #stored(): OutboxMessage[] {
    const { storage } = this.#options;
    const names: string[] = [];
    const messages: OutboxMessage[] = [];
    this.#store(() => {
      for (let index = 0; index < (storage?.length ?? 0); index++) names.push(storage?.key(index) ?? "");
    });
    for (const name of names.filter((one) => one.startsWith(this.#prefix))) {
      this.#store(() => {
        const message = read(storage?.getItem(name) ?? "");
        if (message && name === this.#prefix + message.key) messages.push(message);
        else storage?.removeItem(name);
      });
    }
    return messages;
  }
}

/** A message as it was stored, if it is one: anything may be in there. */
function read(text: string): OutboxMessage | undefined {
  try {
    const value = Object(JSON.parse(text)) as Partial<OutboxMessage>;
    const isMessage =
      [value.key, value.uri, value.message].every((part) => typeof part === "string") &&
      Number.isFinite(value.date) &&
      [value.tried, value.replyTo].every((part) => part === undefined || Number.isFinite(part)) &&
      ["queued", "sending", "refused"].includes(value.state ?? "");
    return isMessage ? (value as OutboxMessage) : undefined;
  } catch {
    return undefined;
  }
}
