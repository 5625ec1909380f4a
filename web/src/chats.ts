/** One's chats, newest activity first. Each of them is listened to, so that the list is live. */

import type { ChatSummary, Entry, Message, Room } from "@confab/client";
import { computed, onScopeDispose, ref, shallowReactive } from "vue";
import { titleOf } from "./names";
import { explain } from "./problems";
import type { Session } from "./session";

const PAGE = 20;
/** A chat that is new is among so many at the top. */
const NEWEST = 5;

/** What the list shows of a chat. */
export interface ChatLine {
  readonly uri: string;
  /** Empty until it is known who is in it. */
  readonly title: string;
  readonly members: Room["timeline"]["members"];
  readonly last: Message | null;
  readonly unread: number;
  /** Whether there are more than `unread`. */
  readonly more: boolean;
  readonly date: string;
}

export type Chats = ReturnType<typeof useChats>;

export function useChats({ api, client, user }: Session) {
  const lines = shallowReactive(new Map<string, ChatLine>());
  const summaries = new Map<string, ChatSummary>();
  /** When something happened last in each chat. */
  const dates = new Map<string, string>();
  const next = ref<string | null>();
  const problem = ref("");

  const sorted = computed(() => [...lines.values()].sort((a, b) => (a.date < b.date ? 1 : -1)));
  const unread = computed(() => sorted.value.reduce((sum, line) => sum + line.unread, 0));

  async function refresh(): Promise<void> {
    await load({ limit: PAGE });
  }

  async function older(): Promise<void> {
    if (next.value) await load(next.value);
  }

  async function load(page: string | { limit: number }): Promise<void> {
    try {
      const { chats, next: following } = await api.chats(page);
      for (const summary of chats) take(summary);
      if (next.value === undefined || typeof page === "string") next.value = following;
      problem.value = "";
    } catch (error) {
      problem.value = explain(error);
    }
  }

  function take(summary: ChatSummary): void {
    const { uri } = summary;
    const isNew = !summaries.has(uri);
    summaries.set(uri, summary);
    if (isNew) listen(client.room(uri, { after: summary.last_id }));
    show(uri);
  }

  function listen(room: Room): void {
    const { uri } = room;
    room.on("change", () => show(uri));
    room.on("entry", (entry) => {
      dates.set(uri, entry.create_date);
      if (isUnseen(room, entry)) void refresh();
    });
    room.on("state", (state) => {
      if (state !== "left" && state !== "closed") return;
      summaries.delete(uri);
      lines.delete(uri);
    });
  }

  /** Whether it changes a message that is shown here, but is older than those of the room. */
  function isUnseen({ uri, timeline }: Room, entry: Entry): boolean {
    const isChange = entry.type === "edited" || entry.type === "deleted";
    return isChange && entry.of === summaries.get(uri)?.last_message?.id && timeline.message(entry.of) === undefined;
  }

  function show(uri: string): void {
    const summary = summaries.get(uri);
    if (!summary) return;
    const { timeline } = client.room(uri);
    const { members } = timeline;
    const [heard, known] = [timeline.messages.at(-1), summary.last_message];
    const date = dates.get(uri) ?? "";
    lines.set(uri, {
      uri,
      members,
      title: members.length > 0 ? titleOf(members, user) : "",
      last: heard && heard.id >= (known?.id ?? 0) ? heard : known,
      ...count(summary, timeline),
      date: date > summary.update_date ? date : summary.update_date,
    });
  }

  /** What was there before the room was opened is counted by the server, unless one has read on since. */
  function count(summary: ChatSummary, timeline: Room["timeline"]): { unread: number; more: boolean } {
    const read = Math.max(timeline.read.get(user.id) ?? 0, summary.read_id);
    const newer = (id: number) => timeline.messages.filter((one) => one.id > id && one.user.id !== user.id).length;
    if (read >= summary.last_id || timeline.first <= read + 1) return { unread: newer(read), more: false };
    return { unread: summary.unread + newer(summary.last_id), more: summary.unread_more };
  }

  const isSeen = () => document.visibilityState === "visible";
  const look = () => isSeen() && void refresh();
  document.addEventListener("visibilitychange", look);
  const endings = [
    client.connection.on("open", look),
    client.connection.on("frame", (frame) => {
      if (frame.type === "added" && !summaries.has(frame.uri)) void load({ limit: NEWEST });
    }),
  ];
  onScopeDispose(() => {
    document.removeEventListener("visibilitychange", look);
    for (const end of endings) end();
  });
  void refresh();

  return { lines: sorted, unread, next, problem, refresh, older };
}
