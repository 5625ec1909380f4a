/** What the list of chats shows of each chat. */

import type { ChatSummary, Entry, Message, Timeline, User } from "@confab/client";

export interface ChatPreview {
  readonly uri: string;
  /** Empty until the members are known. */
  readonly title: string;
  readonly members: readonly User[];
  readonly lastMessage: Message | null;
  readonly unread: number;
  /** Whether there are more unread messages than `unread`. */
  readonly hasMoreUnread: boolean;
  /** Whether a message of the user was refused. */
  readonly hasRefused: boolean;
  /** The date of the last activity. */
  readonly date: string;
}

/** The latest message: of the timeline, or of the summary if that is newer. */
export function lastMessageOf(summary: ChatSummary, timeline: Timeline | undefined): Message | null {
  const [live, known] = [timeline?.messages.at(-1), summary.last_message];
  return live && live.id >= (known?.id ?? 0) ? live : known;
}

/**
 * Counts unread messages: those after the summary from the timeline, those before from the summary, unless they were
 * read since.
 */
export function countUnread(
  summary: ChatSummary,
  timeline: Timeline | undefined,
  me: User,
): Pick<ChatPreview, "unread" | "hasMoreUnread"> {
  if (!timeline) return { unread: summary.unread, hasMoreUnread: summary.unread_more };
  const readId = Math.max(timeline.readMarkers.get(me.id) ?? 0, summary.read_id);
  const isCounted = ({ user, delete_date }: Message) => user.id !== me.id && delete_date === null;
  const countAfter = (id: number) => timeline.messages.filter((one) => one.id > id && isCounted(one)).length;
  if (readId >= summary.last_id || timeline.firstId <= readId + 1) {
    return { unread: countAfter(readId), hasMoreUnread: false };
  }
  return { unread: summary.unread + countAfter(summary.last_id), hasMoreUnread: summary.unread_more };
}

/**
 * Whether an entry changes the summary in a way that the timeline does not show, so that the server has to be asked.
 */
export function isSummaryOutdated(summary: ChatSummary | undefined, timeline: Timeline, entry: Entry): boolean {
  if (!summary) return entry.type === "message";
  if (entry.type !== "edited" && entry.type !== "deleted") return false;
  // A deleted message is no longer unread.
  const isRelevant = entry.type === "deleted" || entry.of === summary.last_message?.id;
  return isRelevant && timeline.message(entry.of) === undefined;
}
