/**
 * The messages and members of a chat: a fold over entries of its log, pages of its history, and events. It makes no
 * requests. The result is the same for any mix of entries and pages, and applying either twice changes nothing.
 */

import type { ChatDetail, HistoryPage, MemberPage } from "./api.js";
import type {
  ChatEvent,
  Entry,
  EphemeralState,
  Message,
  MessageEntry,
  MessageUpdateEntry,
  Reaction,
  User,
} from "./wire.js";

/** How long a typing indicator is shown, in milliseconds. A user who is typing repeats it every six seconds. */
export const TYPING_EXPIRY = 9_000;

/** In chats with more members there are no presence events and no read receipts. */
const MAX_MEMBERS_WITH_PRESENCE = 100;

/** A message, and the id of the last entry that it reflects. */
interface VersionedMessage {
  readonly message: Message;
  readonly asOf: number;
}

/**
 * A chat as one of its members sees it. Messages are replaced and never mutated, so they can be compared by identity.
 */
export class Timeline {
  readonly #me: number;
  #firstId: number;
  readonly #versions = new Map<number, VersionedMessage>();
  #messages: readonly Message[] | undefined;
  /** Updates of older messages that are not loaded yet, by message id. */
  readonly #pendingUpdates = new Map<number, MessageUpdateEntry[]>();
  readonly #members = new Map<number, User>();
  #membersAsOf = 0;
  /** The number of members that are not loaded, and the URL of their first page. */
  #unloadedMembers = 0;
  #membersNext: string | null = null;
  /** Users who left since the members were loaded; a page that arrives late may still contain them. */
  readonly #formerMembers = new Set<number>();
  #owner: number | undefined;
  readonly #readMarkers = new Map<number, number>();
  #online: Set<number> | null = null;
  readonly #typing = new Map<number, { readonly user: User; readonly until: number }>();

  /**
   * For the user with the id `me`. With `firstId`, all messages from there on come as entries; otherwise a page of
   * history comes first.
   */
  constructor(me: number, firstId = Number.POSITIVE_INFINITY) {
    this.#me = me;
    this.#firstId = firstId;
  }

  /** All messages with this id or a higher one are loaded: 1 if all are, infinity if none is. */
  get firstId(): number {
    return this.#firstId;
  }

  /** The messages, oldest first. The same array until one of them changes. */
  get messages(): readonly Message[] {
    this.#messages ??= [...this.#versions.values()].map(({ message }) => message).sort((a, b) => a.id - b.id);
    return this.#messages;
  }

  /** The message with this id, if it is loaded. */
  message(id: number): Message | undefined {
    return this.#versions.get(id)?.message;
  }

  /** The loaded members, the owner first. */
  get members(): readonly User[] {
    const isOwner = (user: User) => Number(user.id === this.#owner);
    return [...this.#members.values()].sort((a, b) => isOwner(b) - isOwner(a));
  }

  /** The number of members, loaded or not. */
  get memberCount(): number {
    return this.#members.size + this.#unloadedMembers;
  }

  /** The URL of the next page of members, or null if all are loaded. */
  get membersNext(): string | null {
    return this.#membersNext;
  }

  /** The owner's id. */
  get owner(): number | undefined {
    return this.#owner;
  }

  /** The read marker of each member, by user id; in large chats, only the own marker. */
  get readMarkers(): ReadonlyMap<number, number> {
    return this.#readMarkers;
  }

  /** The ids of the members who are online, or null if unknown, as in large chats. */
  get online(): ReadonlySet<number> | null {
    return this.#online;
  }

  /** The users who are typing at the time `now` (`performance.now()`). */
  typing(now: number): readonly User[] {
    return [...this.#typing.values()].filter(({ until }) => until > now).map(({ user }) => user);
  }

  /** Applies an entry. Entries have to be applied in the order of the log; repeats have no effect. */
  apply(entry: Entry): void {
    switch (entry.type) {
      case "message":
        this.#typing.delete(entry.user.id);
        if (entry.id >= this.#firstId && !this.#versions.has(entry.id)) this.#setMessage(fromEntry(entry), entry.id);
        break;
      case "edited":
      case "deleted":
      case "reacted":
      case "unreacted":
        this.#updateMessage(entry);
        break;
      case "joined":
      case "owner":
      case "left":
        if (entry.id <= this.#membersAsOf) break;
        this.#membersAsOf = entry.id;
        if (entry.type === "joined") this.#addMember(entry.user, entry.id);
        else if (entry.type === "left") this.#onMemberLeft(entry.user.id);
        else this.#owner = entry.user.id;
    }
  }

  /** Adds a page of history: the first one, or one that adjoins the loaded messages. */
  addHistory(page: HistoryPage): void {
    this.#firstId = Math.min(this.#firstId, page.previous === null ? 1 : beforeOf(page.previous));
    for (const message of page.messages) {
      const known = this.#versions.get(message.id);
      // A page is at least as new as its `last_id`; the known version may be newer.
      if (known && known.asOf > page.last_id) continue;
      this.#setMessage(normalize(message), page.last_id);
      for (const entry of this.#pendingUpdates.get(message.id) ?? []) this.#updateMessage(entry);
      this.#pendingUpdates.delete(message.id);
    }
  }

  /** Replaces the members and the ephemeral state by those of a response. Outdated responses are ignored. */
  setDetail(detail: ChatDetail): void {
    if (detail.last_id < this.#membersAsOf) return;
    this.#membersAsOf = detail.last_id;
    const members = new Map(detail.members.map((user) => [user.id, user]));
    for (const id of [...this.#members.keys()]) if (!members.has(id)) this.#removeMember(id);
    this.#members.clear();
    for (const [id, user] of members) this.#members.set(id, user);
    this.#formerMembers.clear();
    this.#membersNext = detail.members_next ?? null;
    this.#unloadedMembers = Math.max(0, (detail.member_count ?? 0) - members.size);
    this.#owner = detail.owner?.id;
    this.setEphemeralState(detail);
  }

  /** Adds the page of members at {@link membersNext}. */
  addMembers({ members, next }: MemberPage): void {
    for (const user of members) {
      if (this.#members.has(user.id) || this.#formerMembers.has(user.id)) continue;
      this.#members.set(user.id, user);
      this.#unloadedMembers = Math.max(0, this.#unloadedMembers - 1);
    }
    this.#membersNext = next;
    if (next === null) this.#unloadedMembers = 0;
  }

  /** Sets the state that is not in the log. Null or absent means unknown. */
  setEphemeralState({ read, online }: EphemeralState): void {
    if (read) this.#moveReadMarkers(read);
    else for (const id of [...this.#readMarkers.keys()]) if (id !== this.#me) this.#readMarkers.delete(id);
    this.#online = online ? new Set(online.filter((id) => this.#members.has(id))) : null;
  }

  /** Applies an event that arrived at the time `now` (as in {@link typing}). */
  applyEvent(event: ChatEvent, now: number): void {
    if (event.type === "read") {
      this.#moveReadMarkers(event.read);
      return;
    }
    const { user } = event;
    if (event.type === "typing") this.#typing.set(user.id, { user, until: now + TYPING_EXPIRY });
    if (event.type === "online" && this.#members.has(user.id)) this.#online?.add(user.id);
    if (event.type === "offline") {
      this.#online?.delete(user.id);
      this.#typing.delete(user.id);
    }
  }

  /** Drops all messages with a lower id. */
  dropBefore(id: number): void {
    for (const known of this.#versions.keys()) if (known < id) this.#versions.delete(known);
    this.#firstId = Math.max(this.#firstId, id);
    this.#messages = undefined;
  }

  #setMessage(message: Message, asOf: number): void {
    this.#versions.set(message.id, { message, asOf });
    this.#messages = undefined;
  }

  #updateMessage(entry: MessageUpdateEntry): void {
    const known = this.#versions.get(entry.of);
    if (known) {
      if (entry.id > known.asOf) this.#setMessage(update(known.message, entry, this.#me), entry.id);
    } else if (entry.of < this.#firstId) {
      const updates = this.#pendingUpdates.get(entry.of) ?? [];
      updates.push(entry);
      this.#pendingUpdates.set(entry.of, updates);
    }
  }

  #addMember(user: User, id: number): void {
    if (this.#members.has(user.id)) return;
    this.#members.set(user.id, user);
    this.#formerMembers.delete(user.id);
    if (this.memberCount > MAX_MEMBERS_WITH_PRESENCE) this.setEphemeralState({});
    else this.#moveReadMarker(user.id, id);
  }

  #onMemberLeft(user: number): void {
    if (!this.#members.has(user)) this.#unloadedMembers = Math.max(0, this.#unloadedMembers - 1);
    this.#formerMembers.add(user);
    this.#removeMember(user);
  }

  #removeMember(user: number): void {
    this.#members.delete(user);
    this.#readMarkers.delete(user);
    this.#typing.delete(user);
    this.#online?.delete(user);
  }

  /**
   * Markers only move forward. They may arrive after their user left. In a large chat, the own user may not be loaded.
   */
  #moveReadMarkers(read: Readonly<Record<string, number>>): void {
    for (const [user, id] of Object.entries(read)) this.#moveReadMarker(Number(user), id);
  }

  #moveReadMarker(user: number, id: number): void {
    if (this.#members.has(user) || (user === this.#me && this.#unloadedMembers > 0)) {
      this.#readMarkers.set(user, Math.max(id, this.#readMarkers.get(user) ?? 0));
    }
  }
}

/**
 * The `before` parameter of the URL of the previous page. It may lie between two messages if many other entries are
 * there.
 */
function beforeOf(previous: string): number {
  return Number(new URL(previous, "http://localhost").searchParams.get("before"));
}

function fromEntry(entry: MessageEntry): Message {
  const { id, user, message, create_date, edit_date = null, delete_date = null, reply_to = null } = entry;
  return normalize({ id, user, message, create_date, edit_date, delete_date, reply_to, reactions: [] });
}

/** Fills in absent fields, removes the content of a deleted message, and sorts reactions by count, then by emoji. */
function normalize(message: Message): Message {
  const { edit_date = null, delete_date = null, reply_to = null, reactions = [] } = message;
  if (delete_date !== null) return { ...message, message: "", edit_date: null, delete_date, reply_to, reactions: [] };
  const order = (a: Reaction, b: Reaction) => b.count - a.count || (a.emoji < b.emoji ? -1 : 1);
  return { ...message, edit_date, delete_date, reply_to, reactions: [...reactions].sort(order) };
}

function update(message: Message, entry: MessageUpdateEntry, me: number): Message {
  switch (entry.type) {
    case "edited":
      // The message may have been deleted since.
      return normalize({
        ...message,
        message: entry.message,
        edit_date: entry.create_date,
        delete_date: entry.delete_date ?? message.delete_date,
      });
    case "deleted":
      return normalize({ ...message, delete_date: entry.create_date });
    default: {
      const before = message.reactions.find((reaction) => reaction.emoji === entry.emoji);
      const others = message.reactions.filter((reaction) => reaction !== before);
      const { emoji, count = 0 } = entry;
      const mine = entry.user.id === me ? entry.type === "reacted" : (before?.mine ?? false);
      return normalize({ ...message, reactions: count > 0 ? [...others, { emoji, count, mine }] : others });
    }
  }
}
