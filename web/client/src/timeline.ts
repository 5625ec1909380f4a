/**
 * What a chat looks like: a fold over the entries of its log, pages of its history, and notices. It asks nobody for anything, and it makes no
 * difference which of its messages came from the one and which from the other, nor whether something is applied twice.
 */

import type { Chat, History, Members } from "./api.js";
import type { AmendingEntry, Entry, Message, MessageEntry, Notice, Reaction, Standing, User } from "./wire.js";

/** Who types says so again every three seconds; who has not for so many milliseconds has stopped. */
export const TYPING_SHOWN = 6_000;

/** In chats with more members there are no presence events and no read receipts. */
const TOLD_MEMBERS = 100;

/** A message, and the id of the last entry that it reflects. */
interface Held {
  readonly message: Message;
  readonly asOf: number;
}

/** A chat as one of its users sees it. Messages are replaced, never changed, so that they can be compared by identity. */
export class Timeline {
  readonly #me: number;
  #first: number;
  readonly #held = new Map<number, Held>();
  #messages: readonly Message[] | undefined;
  /** What is about older messages than are held, until these come. */
  readonly #amendments = new Map<number, AmendingEntry[]>();
  readonly #members = new Map<number, User>();
  #membersAsOf = 0;
  /** The number of members that are not loaded, and the URL of their first page. */
  #others = 0;
  #membersNext: string | null = null;
  /** Users who left since the members were loaded; a page that arrives late may still contain them. */
  readonly #gone = new Set<number>();
  #owner: number | undefined;
  readonly #read = new Map<number, number>();
  #online: Set<number> | null = null;
  readonly #typing = new Map<number, { readonly user: User; readonly until: number }>();

  /** For the user with the id `me`. All messages from `first` on will come as entries; by default, a page of the history comes first. */
  constructor(me: number, first = Number.POSITIVE_INFINITY) {
    this.#me = me;
    this.#first = first;
  }

  /** All messages of the chat with this id or a higher one are here: 1 if all are, infinity if none has come yet. */
  get first(): number {
    return this.#first;
  }

  /** The messages, oldest first. The same array until something about them changes. */
  get messages(): readonly Message[] {
    this.#messages ??= [...this.#held.values()].map((held) => held.message).sort((a, b) => a.id - b.id);
    return this.#messages;
  }

  /** The message with this id, such as the one that another replies to, if it is here. */
  message(id: number): Message | undefined {
    return this.#held.get(id)?.message;
  }

  /** The loaded members, the owner first. */
  get members(): readonly User[] {
    const isOwner = (user: User) => Number(user.id === this.#owner);
    return [...this.#members.values()].sort((a, b) => isOwner(b) - isOwner(a));
  }

  /** The number of members, loaded or not. */
  get memberCount(): number {
    return this.#members.size + this.#others;
  }

  /** The URL of the next page of members, or null if all are loaded. */
  get membersNext(): string | null {
    return this.#membersNext;
  }

  /** The owner's id. */
  get owner(): number | undefined {
    return this.#owner;
  }

  /** How far each user has read, by their id; in large chats, only the own marker. */
  get read(): ReadonlyMap<number, number> {
    return this.#read;
  }

  /** The ids of those who listen; null in chats too large to know. */
  get online(): ReadonlySet<number> | null {
    return this.#online;
  }

  /** Who is typing at the time `now` (`performance.now()`). */
  typing(now: number): readonly User[] {
    return [...this.#typing.values()].filter(({ until }) => until > now).map(({ user }) => user);
  }

  /** Takes in an entry. Entries come in the order of the log; one that has come already does no harm. */
  apply(entry: Entry): void {
    switch (entry.type) {
      case "message":
        this.#typing.delete(entry.user.id);
        if (entry.id >= this.#first && !this.#held.has(entry.id)) this.#hold(said(entry), entry.id);
        break;
      case "edited":
      case "deleted":
      case "reacted":
      case "unreacted":
        this.#amend(entry);
        break;
      case "joined":
      case "owner":
      case "left":
        if (entry.id <= this.#membersAsOf) break;
        this.#membersAsOf = entry.id;
        if (entry.type === "joined") this.#join(entry.user);
        else if (entry.type === "left") this.#goOut(entry.user.id);
        else this.#owner = entry.user.id;
    }
  }

  /** Takes in a page of the history that meets what is here, or is the first one. */
  load(page: History): void {
    this.#first = Math.min(this.#first, page.previous === null ? 1 : before(page.previous));
    for (const message of page.messages) {
      const held = this.#held.get(message.id);
      // A page is at least as new as it says; what is held may be newer.
      if (held && held.asOf > page.last_id) continue;
      this.#hold(normal(message), page.last_id);
      for (const entry of this.#amendments.get(message.id) ?? []) this.#amend(entry);
      this.#amendments.delete(message.id);
    }
  }

  /** Takes in how the chat is: its members, how far they have read, and who listens. */
  show(chat: Chat): void {
    if (chat.last_id < this.#membersAsOf) return;
    this.#membersAsOf = chat.last_id;
    const members = new Map(chat.members.map((user) => [user.id, user]));
    for (const id of [...this.#members.keys()]) if (!members.has(id)) this.#leave(id);
    this.#members.clear();
    for (const [id, user] of members) this.#members.set(id, user);
    this.#gone.clear();
    this.#membersNext = chat.members_next ?? null;
    this.#others = Math.max(0, (chat.member_count ?? 0) - members.size);
    this.#owner = chat.owner?.id;
    this.stand(chat);
  }

  /** Adds the page of members at {@link membersNext}. */
  addMembers({ members, next }: Members): void {
    for (const user of members) {
      if (this.#members.has(user.id) || this.#gone.has(user.id)) continue;
      this.#members.set(user.id, user);
      this.#others = Math.max(0, this.#others - 1);
    }
    this.#membersNext = next;
    if (next === null) this.#others = 0;
  }

  /** Takes in how things stand that are not in the log. Null or absent means unknown. */
  stand({ read, online }: Standing): void {
    if (read) for (const [user, id] of Object.entries(read)) this.#mark(Number(user), id);
    else for (const id of [...this.#read.keys()]) if (id !== this.#me) this.#read.delete(id);
    this.#online = online ? new Set(online.filter((id) => this.#members.has(id))) : null;
  }

  /** Takes in what was told at the time `now` (as in {@link typing}), and is not kept. */
  note(notice: Notice, now: number): void {
    const { user } = notice;
    if (notice.type === "read") this.#mark(user.id, notice.read_id);
    if (notice.type === "typing") this.#typing.set(user.id, { user, until: now + TYPING_SHOWN });
    if (notice.type === "online" && this.#members.has(user.id)) this.#online?.add(user.id);
    if (notice.type === "offline") {
      this.#online?.delete(user.id);
      this.#typing.delete(user.id);
    }
  }

  /** Forgets all messages with a lower id. */
  forget(id: number): void {
    for (const held of this.#held.keys()) if (held < id) this.#held.delete(held);
    this.#first = Math.max(this.#first, id);
    this.#messages = undefined;
  }

  #hold(message: Message, asOf: number): void {
    this.#held.set(message.id, { message, asOf });
    this.#messages = undefined;
  }

  #amend(entry: AmendingEntry): void {
    const held = this.#held.get(entry.of);
    if (held) {
      if (entry.id > held.asOf) this.#hold(amended(held.message, entry, this.#me), entry.id);
    } else if (entry.of < this.#first) {
      const amendments = this.#amendments.get(entry.of) ?? [];
      amendments.push(entry);
      this.#amendments.set(entry.of, amendments);
    }
  }

  #join(user: User): void {
    if (this.#members.has(user.id)) return;
    this.#members.set(user.id, user);
    this.#gone.delete(user.id);
    if (this.memberCount > TOLD_MEMBERS) this.stand({});
    else this.#mark(user.id, 0);
  }

  #goOut(user: number): void {
    if (!this.#members.has(user)) this.#others = Math.max(0, this.#others - 1);
    this.#gone.add(user);
    this.#leave(user);
  }

  #leave(user: number): void {
    this.#members.delete(user);
    this.#read.delete(user);
    this.#typing.delete(user);
    this.#online?.delete(user);
  }

  /** What is told of somebody may come after they have left. In a large chat, the own user may not be loaded. */
  #mark(user: number, id: number): void {
    if (this.#members.has(user) || (user === this.#me && this.#others > 0))
      this.#read.set(user, Math.max(id, this.#read.get(user) ?? 0));
  }
}

/** Where the page before begins, going back. That may be before the first message, where much else happened between two. */
function before(previous: string): number {
  return Number(new URL(previous, "http://localhost").searchParams.get("before"));
}

function said(entry: MessageEntry): Message {
  const { id, user, message, create_date, edit_date = null, delete_date = null, reply_to = null } = entry;
  return normal({ id, user, message, create_date, edit_date, delete_date, reply_to, reactions: [] });
}

/** Nothing is left of a deleted message, and reactions of the same number have one order. */
function normal(message: Message): Message {
  const { edit_date = null, delete_date = null, reply_to = null, reactions = [] } = message;
  if (delete_date !== null) return { ...message, message: "", edit_date: null, delete_date, reply_to, reactions: [] };
  const order = (a: Reaction, b: Reaction) => b.count - a.count || (a.emoji < b.emoji ? -1 : 1);
  return { ...message, edit_date, delete_date, reply_to, reactions: [...reactions].sort(order) };
}

function amended(message: Message, entry: AmendingEntry, me: number): Message {
  switch (entry.type) {
    case "edited":
      // It may have been deleted since.
      return normal({
        ...message,
        message: entry.message,
        edit_date: entry.create_date,
        delete_date: entry.delete_date ?? message.delete_date,
      });
    case "deleted":
      return normal({ ...message, delete_date: entry.create_date });
    default: {
      const before = message.reactions.find((reaction) => reaction.emoji === entry.emoji);
      const others = message.reactions.filter((reaction) => reaction !== before);
      const { emoji, count = 0 } = entry;
      const mine = entry.user.id === me ? entry.type === "reacted" : (before?.mine ?? false);
      return normal({ ...message, reactions: count > 0 ? [...others, { emoji, count, mine }] : others });
    }
  }
}
