/** An immutable snapshot of a chat, for rendering. */

import type { Chat, OutboxMessage, User } from "@confab/client";
import { chatTitle, otherUsers } from "./displayNames";

export type ChatSnapshot = ReturnType<typeof takeSnapshot>;

export function takeSnapshot({ state, problem, timeline }: Chat, pending: readonly OutboxMessage[], me: User) {
  const { members, memberCount, messages, firstId } = timeline;
  return {
    state,
    problem,
    messages,
    members,
    owner: timeline.owner,
    memberCount,
    hasMoreMembers: timeline.membersNext !== null,
    title: members.length > 0 ? chatTitle(members, memberCount, me) : "",
    online: timeline.online && new Set(timeline.online),
    readMarkers: new Map(timeline.readMarkers),
    typing: otherUsers(timeline.typing(performance.now()), me),
    hasOlder: firstId > 1 && firstId < Number.POSITIVE_INFINITY,
    /** Messages of the user that are not in the timeline yet. */
    pending,
  };
}

/** The members who have read the user's last message. */
export interface ReadReceipt {
  readonly messageId: number;
  readonly readers: readonly User[];
}

/** The read receipt of the user's last message; `before` if it is unchanged, so that nothing is rendered again. */
export function readReceiptOf(
  { messages, members, readMarkers }: ChatSnapshot,
  me: User,
  before: ReadReceipt | undefined,
): ReadReceipt | undefined {
  const last = messages.findLast((message) => message.user.id === me.id && message.delete_date === null);
  const readers = last && otherUsers(members, me).filter(({ id }) => (readMarkers.get(id) ?? 0) >= last.id);
  if (!readers || readers.length === 0) return undefined;
  return before?.messageId === last.id && isSame(before.readers, readers) ? before : { messageId: last.id, readers };
}

export function isSame<Item>(some: readonly Item[], others: readonly Item[]): boolean {
  return some.length === others.length && some.every((one, index) => one === others[index]);
}
