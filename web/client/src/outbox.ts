/** The outbox: messages that are to be sent, until the server has said that they are in the log. */

import { isFinal } from "./api.js";
import { Backoff } from "./backoff.js";
import { ANSWER, type Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import type { Environment } from "./environment.js";
import { problemOf, wellFormed } from "./text.js";
import type { ErrorFrame, Frame, Sent } from "./wire.js";

/** The server knows a key for a day. What was tried longer ago (less an hour) might be posted twice, so somebody has to decide. */
const REMEMBERED = 23 * 3600_000;

/** After so many failures, some three to six minutes, a message is refused until the user retries it. */
const FAILURES = 16;
/** How the error detail for a reply to a missing or deleted message begins. */
const REPLY_PROBLEM = "reply_to:";

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
  /** The number of failures: error frames, no answer on a live socket, or a socket that closed before the answer. */
  readonly failures?: number;
  /** `sending` has been tried; `refused` is not retried automatically; `sent` is what the room has not shown yet. */
  readonly state: "queued" | "sending" | "refused" | "sent";
  /** Why it was refused, for display. */
  readonly problem?: string;
  /** The message that it replies to does not exist any more; it can be sent without the reply. */
  readonly isReplyLost?: boolean;
  /** Its id, once it is sent. */
  readonly id?: number;
}

interface OutboxEvents {
  /** Something changed about the messages for the chat with this uri. */
  change: string;
  /** A message is in the log now. */
  sent: OutboxMessage;
}

/** A pending timer of a chat: for the answer to the message with this key, or (without a key) for the next retry. */
interface Wait {
  readonly key: string | undefined;
  cancel(): void;
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
  /** The pending timer of each chat. */
  readonly #waits = new Map<string, Wait>();
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
    options.connection.on("state", (state) => {
      if (state === "open") return;
      // The socket may have been closed because of what was sent last.
      if (state !== "closed" && state !== "expired") for (const message of this.#underWay()) this.#fail(message);
      this.#stop();
    });
  }

  /** The messages for a chat that are not in its log yet, or not shown yet, oldest first. */
  of(uri: string): readonly OutboxMessage[] {
    return [...this.#messages.values()].filter((message) => message.uri === uri);
  }

  /** All messages that are not in a log yet, those that were refused included, oldest first. */
  get unsent(): readonly OutboxMessage[] {
    return [...this.#messages.values()].filter(({ state }) => state !== "sent");
  }

  /** Adds a message, which is sent as soon as possible. A message that can never be sent is refused at once. */
  add(uri: string, message: string, replyTo?: number): OutboxMessage {
    const { environment } = this.#options;
    const last = Math.max(0, ...[...this.#messages.values()].map(({ date }) => date));
    const added = sendable({
      key: environment.randomUUID(),
      uri,
      message,
      ...(replyTo !== undefined && { replyTo }),
      date: Math.max(environment.now(), last + 1),
      state: "queued",
    });
    this.#keep(added);
    this.#send(added.uri);
    return added;
  }

  /** Retries a refused message; `withoutReply` drops its reference to the message that it replies to. */
  retry(key: string, { withoutReply = false } = {}): void {
    const message = this.#messages.get(key);
    if (message?.state !== "refused") return;
    const { uri, message: text, date, tried } = message;
    const replyTo = withoutReply ? undefined : message.replyTo;
    if (tried === undefined || this.#isRemembered(tried)) {
      // It may be in the log although it was refused later, so the key stays.
      const known = { ...(replyTo !== undefined && { replyTo }), ...(tried !== undefined && { tried }) };
      this.#keep(sendable({ key, uri, message: text, date, ...known, state: "queued" }));
      this.#send(uri);
    } else {
      this.#drop(key);
      this.add(uri, text, replyTo);
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

  /** Whether the server still remembers a key that was first sent then. A date in the future means that the clock was set back. */
  #isRemembered(tried: number): boolean {
    return Math.abs(this.#options.environment.now() - tried) < REMEMBERED;
  }

  #sendAll(): void {
    this.#stop();
    for (const uri of new Set([...this.#messages.values()].map((message) => message.uri))) this.#send(uri);
  }

  #stop(): void {
    for (const { cancel } of this.#waits.values()) cancel();
    this.#waits.clear();
  }

  /** Sends the next message for a chat, unless one is under way. */
  #send(uri: string): void {
    const { connection, environment } = this.#options;
    const next = this.of(uri).find(({ state }) => state === "queued" || state === "sending");
    if (!next || this.#waits.has(uri) || connection.state !== "open") return;
    if (next.tried !== undefined && !this.#isRemembered(next.tried)) {
      this.#keep(refused(next, "It is not known whether this was sent. Look before you send it again."));
      this.#send(uri);
      return;
    }
    const { key, message, replyTo } = next;
    // What is kept must say that it was tried before it is.
    this.#keep({ ...next, tried: next.tried ?? environment.now(), state: "sending" });
    connection.send({ action: "send", uri, message, key, ...(replyTo !== undefined && { reply_to: replyTo }) });
    const sent = environment.elapsed();
    this.#wait(uri, ANSWER, () => this.#missed(key, sent), key);
  }

  #wait(uri: string, milliseconds: number, run: () => void, key?: string): void {
    this.#waits.get(uri)?.cancel();
    this.#waits.set(uri, { key, cancel: this.#options.environment.after(milliseconds, run) });
  }

  #sendNow(uri: string): void {
    this.#waits.get(uri)?.cancel();
    this.#waits.delete(uri);
    this.#send(uri);
  }

  /** No answer arrived in time. Without any other frame either, the socket may be dead, so that is not counted as a failure. */
  #missed(key: string, sent: number): void {
    const message = this.#messages.get(key);
    if (!message) return;
    if (this.#options.connection.heardSince(sent)) this.#fail(message);
    this.#sendNow(message.uri);
  }

  /** The messages that were sent and not answered yet. */
  #underWay(): OutboxMessage[] {
    const keys = new Set([...this.#waits.values()].map(({ key }) => key));
    return this.unsent.filter(({ key }) => keys.has(key));
  }

  /** Counts a failure, and refuses the message after too many. */
  #fail(message: OutboxMessage): void {
    const failures = (message.failures ?? 0) + 1;
    const given = refused(message, `Sending this failed ${failures} times. Try again later.`);
    this.#keep(failures < FAILURES ? { ...message, failures } : given);
  }

  #take(frame: Frame): void {
    if (frame.type !== "sent" && frame.type !== "error") return;
    const message = frame.key !== undefined ? this.#messages.get(frame.key) : this.#unnamed(frame);
    // What is sent again has several answers; the first one counts, unless it is of no use.
    if (!message || message.state === "sent") return;
    if (frame.type === "sent") this.#sent(message, frame);
    else if ((frame.action ?? "send") === "send" && message.state === "sending") this.#failed(message, frame);
  }

  /** The message that an error without a key is about: a server that cannot parse a frame cannot repeat its key. */
  #unnamed(frame: Sent | ErrorFrame): OutboxMessage | undefined {
    const underWay = this.#underWay();
    return frame.type === "error" && frame.uri === undefined && underWay.length === 1 ? underWay[0] : undefined;
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
    if (isFinal(frame.status)) this.#keep(refused(message, frame.detail));
    else this.#fail(message);
    const { uri } = message;
    if (this.#messages.get(message.key)?.state === "refused") this.#sendNow(uri);
    else this.#wait(uri, (frame.retry_after ?? 0) * 1000 + this.#backoff.next(), () => this.#sendNow(uri));
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

/** The message with its text repaired, or refused if it can never be sent. */
function sendable(message: OutboxMessage): OutboxMessage {
  const repaired = { ...message, uri: wellFormed(message.uri), message: wellFormed(message.message) };
  const problem = repaired.state === "refused" ? repaired.problem : problemOf(repaired.message);
  return problem === undefined ? repaired : refused(repaired, problem);
}

function refused(message: OutboxMessage, problem: string): OutboxMessage {
  const isReplyLost =
    message.isReplyLost === true || (message.replyTo !== undefined && problem.startsWith(REPLY_PROBLEM));
  if (!isReplyLost) return { ...message, state: "refused", problem };
  return { ...message, state: "refused", problem: "The message that this replies to was deleted.", isReplyLost };
}

/** A message as it was stored, if it is one: anything may be in there. */
function read(text: string): OutboxMessage | undefined {
  try {
    const value = Object(JSON.parse(text)) as Partial<OutboxMessage>;
    const isMessage =
      [value.key, value.uri, value.message].every((part) => typeof part === "string") &&
      Number.isFinite(value.date) &&
      [value.tried, value.replyTo, value.failures].every((part) => part === undefined || Number.isFinite(part)) &&
      ["queued", "sending", "refused"].includes(value.state ?? "");
    return isMessage ? sendable(value as OutboxMessage) : undefined;
  } catch {
    return undefined;
  }
}
