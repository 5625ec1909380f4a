/** A chat as the server of these tests stores it. */

import type { Entry, Message, User } from "../src/index.js";

/** An entry of the log. Edits and deletions change the message's own entry, too. */
export interface LogRecord {
  readonly id: number;
  readonly type: Entry["type"];
  readonly user: User;
  readonly create_date: string;
  readonly of?: number;
  readonly emoji?: string;
  readonly reply_to?: number | null;
  message?: string;
  edit_date?: string | null;
  delete_date?: string | null;
  readonly reactions: Map<string, Set<number>>;
}

/** The fields of an entry that depend on its type. */
export type EntryFields = Partial<Pick<LogRecord, "of" | "emoji" | "message" | "reply_to">>;

export class ChatRecord {
  log: LogRecord[] = [];
  readonly members = new Map<number, User>();
  readonly readMarkers = new Map<number, number>();
  /** The users whose read markers moved and were not published yet. */
  readonly movedReadMarkers = new Set<number>();
  /** Sent messages by user id and idempotency key. */
  readonly keys = new Map<string, LogRecord>();

  constructor(
    readonly uri: string,
    readonly owner: User,
  ) {
    this.members.set(owner.id, owner);
    this.readMarkers.set(owner.id, 0);
  }

  append(type: Entry["type"], user: User, create_date: string, fields: EntryFields): LogRecord {
    const record: LogRecord = { id: this.log.length + 1, type, user, create_date, reactions: new Map(), ...fields };
    this.log.push(record);
    return record;
  }

  /** The message with this id, unless it is deleted. */
  message(id: number): LogRecord | undefined {
    const record = this.log[id - 1];
    return record?.type === "message" && !record.delete_date ? record : undefined;
  }

  /** All messages, as a user sees them. */
  messages(reader: User): Message[] {
    return this.log.filter(({ type }) => type === "message").map((record) => toMessage(record, reader));
  }

  /** An entry as it is delivered: with the current text and counts. */
  toEntry(record: LogRecord): Entry {
    const { type, id, user, create_date, of, emoji, reply_to } = record;
    const target = of === undefined ? undefined : this.log[of - 1];
    const message = type === "message" ? record : type === "edited" ? target : undefined;
    const current = {
      ...(of !== undefined && { of }),
      ...(message && {
        message: message.message ?? "",
        ...(message.delete_date && { delete_date: message.delete_date }),
      }),
      ...(reply_to && { reply_to }),
      ...(record.edit_date && { edit_date: record.edit_date }),
      ...(emoji !== undefined && { emoji, count: target?.reactions.get(emoji)?.size ?? 0 }),
    };
    return { type, uri: this.uri, id, user, create_date, ...current } as Entry;
  }

  /** The members who joined after this entry, at most `limit`; 0 includes the first owner. */
  memberPage(after: number, limit: number): { members: User[]; next: string | null } {
    const joinedAt = (user: User) =>
      this.log.filter(({ type, user: { id } }) => type === "joined" && id === user.id).at(-1)?.id ?? 0;
    const all = [...this.members.values()].filter((user) => after === 0 || joinedAt(user) > after);
    const page = all.slice(0, limit);
    const [last] = page.slice(-1);
    const hasNext = last && page.length < all.length;
    return { members: page, next: hasNext ? `/api/chats/${this.uri}/members/?cursor=${joinedAt(last)}` : null };
  }

  /** A page of history. Its URLs start with `origin`. */
  historyPage(query: URLSearchParams, reader: User, origin: string): object {
    const number = (name: string) => (query.has(name) ? Number(query.get(name)) : undefined);
    const [after, before, limit = 1000] = ["after", "before", "limit"].map(number);
    const all = this.messages(reader).filter(({ id }) => id > (after ?? 0) && id < (before ?? 1e9));
    const hasMore = all.length > limit;
    const messages = after === undefined ? all.slice(-limit) : all.slice(0, limit);
    const url = (name: string, id: number) => `${origin}/api/chats/${this.uri}/messages/?${name}=${id}&limit=${limit}`;
    const [first, last] = [messages[0]?.id, messages.at(-1)?.id];
    if (after !== undefined) {
      const previous = after > 0 ? url("before", first ?? after + 1) : null;
      return { messages, next: hasMore ? url("after", last ?? after) : null, previous };
    }
    const next = before === undefined ? null : url("after", last ?? before - 1);
    return { messages, next, previous: hasMore && first !== undefined ? url("before", first) : null };
  }
}

function toMessage(record: LogRecord, reader: User): Message {
  const { id, user, message = "", create_date, edit_date = null, delete_date = null, reply_to = null } = record;
  const reactions = [...record.reactions]
    .filter(([, users]) => users.size > 0)
    .map(([emoji, users]) => ({ emoji, count: users.size, mine: users.has(reader.id) }))
    .sort((a, b) => b.count - a.count || (a.emoji < b.emoji ? -1 : 1));
  return { id, user, message, create_date, edit_date, delete_date, reply_to, reactions };
}
