/** One's chats, newest activity first. The newest of them are listened to, so that the list is live. */

import type { ChatSummary, Entry, Message, Room, User } from "@confab/client";
import { computed, onScopeDispose, ref, shallowReactive, watch } from "vue";
import { titleOf } from "../displayNames";
import { explain } from "../errorMessages";
import { hold, release } from "../sharedChats";
import type { Session } from "./useAuth";
import { route } from "./useRoute";

/** The number of chats that are loaded at once and listened to. The server allows 100 on a socket; the open chat comes on top. */
const LISTENED = 80;
/** What comes within so many milliseconds is looked at together. */
const TOGETHER = 300;

/** What the list shows of a chat. */
export interface ChatLine {
  readonly uri: string;
  /** Empty until it is known who is in it. */
  readonly title: string;
  readonly members: readonly User[];
  readonly last: Message | null;
  readonly unread: number;
  /** Whether there are more than `unread`. */
  readonly more: boolean;
  /** Whether something that one wrote there was refused. */
  readonly hasUnsent: boolean;
  readonly date: string;
}

export type Chats = ReturnType<typeof useChats>;

type Page = string | { limit: number };

export function useChats({ api, client, user }: Session) {
  const lines = shallowReactive(new Map<string, ChatLine>());
  const summaries = new Map<string, ChatSummary>();
  /** Those that are listened to. */
  const rooms = new Map<string, { readonly room: Room; letGo(): void }>();
  /** Those that one is not in any more. */
  const left = new Set<string>();
  /** The known members of each chat, and the number of all, when last looked at. */
  const members = new Map<string, { readonly users: readonly User[]; readonly count: number }>();
  /** When something happened last in each chat. */
  const dates = new Map<string, string>();
  const next = ref<string | null>();
  const problem = ref("");
  let failed: Page | undefined;
  let timer: number | undefined;

  const sorted = computed(() => [...lines.values()].sort((a, b) => (a.date < b.date ? 1 : -1)));
  const unread = computed(() => sorted.value.reduce((sum, line) => sum + line.unread, 0));
  const opened = computed(() => (route.value.name === "chat" ? route.value.uri : undefined));

  async function refresh(): Promise<void> {
    await load({ limit: LISTENED });
  }

  function refreshSoon(): void {
    timer ??= window.setTimeout(() => {
      timer = undefined;
      void refresh();
    }, TOGETHER);
  }

  async function older(): Promise<void> {
    if (next.value) await load(next.value);
  }

  /** Tries again what failed. */
  async function retry(): Promise<void> {
    await load(failed ?? { limit: LISTENED });
  }

  async function load(page: Page): Promise<void> {
    try {
      const { chats, next: following } = await api.chats(page);
      for (const summary of chats) {
        summaries.set(summary.uri, summary);
        left.delete(summary.uri);
        show(summary.uri);
      }
      if (next.value === undefined || typeof page === "string") next.value = following;
      problem.value = "";
      attend();
      for (const { uri } of chats) if (!rooms.has(uri)) void lookUp(uri);
    } catch (error) {
      problem.value = explain(error);
      failed = page;
    }
  }

  /** Listens to the newest chats and to the one that is open, and to no others any more. */
  function attend(): void {
    const wanted = new Set(sorted.value.slice(0, LISTENED).map(({ uri }) => uri));
    if (opened.value) wanted.add(opened.value);
    for (const uri of rooms.keys()) if (!wanted.has(uri)) dismiss(uri);
    for (const uri of wanted) if (!rooms.has(uri) && !left.has(uri)) listen(uri);
  }

  function listen(uri: string): void {
    const summary = summaries.get(uri);
    const room = hold(client, uri, summary && { after: summary.last_id });
    const endings = [
      room.on("change", () => show(uri)),
      room.on("entry", (entry) => {
        dates.set(uri, entry.create_date);
        if (isUnseen(room, entry)) refreshSoon();
      }),
      room.on("state", (state) => state === "left" && leave(uri)),
    ];
    const letGo = () => {
      for (const end of endings) end();
      release(room);
    };
    rooms.set(uri, { room, letGo });
    show(uri);
  }

  /** From now on, this chat is shown as it was last. */
  function dismiss(uri: string): void {
    const [listened, summary, line] = [rooms.get(uri), summaries.get(uri), lines.get(uri)];
    if (listened && summary && line) {
      summaries.set(uri, {
        ...summary,
        last_id: Math.max(listened.room.lastId, summary.last_id),
        last_message: line.last,
        unread: line.unread,
        unread_more: line.more,
        update_date: line.date,
      });
    }
    listened?.letGo();
    rooms.delete(uri);
  }

  /** A chat that one has left stays in the list only as long as something there was not sent. */
  function leave(uri: string): void {
    dismiss(uri);
    left.add(uri);
    show(uri);
  }

  /** Who is in a chat that is not listened to. */
  async function lookUp(uri: string): Promise<void> {
    if (members.get(uri)?.count === summaries.get(uri)?.member_count) return;
    try {
      const { members: users, member_count: count = users.length } = await api.show(uri);
      members.set(uri, { users, count });
      show(uri);
    } catch {
      // Then its line has no title, until it is looked at again.
    }
  }

  /** Whether there is something about it that only the server knows. */
  function isUnseen({ uri, timeline }: Room, entry: Entry): boolean {
    const summary = summaries.get(uri);
    if (!summary) return entry.type === "message";
    if (entry.type !== "edited" && entry.type !== "deleted") return false;
    // What is deleted is not unread any more.
    const counts = entry.type === "deleted" || entry.of === summary.last_message?.id;
    return counts && timeline.message(entry.of) === undefined;
  }

  function show(uri: string): void {
    const summary = summaries.get(uri);
    if (!summary) return;
    const unsent = client.outbox.of(uri);
    if (left.has(uri) && unsent.length === 0) {
      summaries.delete(uri);
      lines.delete(uri);
      return;
    }
    const timeline = rooms.get(uri)?.room.timeline;
    if (timeline && timeline.members.length > 0) {
      members.set(uri, { users: timeline.members, count: timeline.memberCount });
    }
    const { users, count } = members.get(uri) ?? { users: [], count: 0 };
    const [heard, known] = [timeline?.messages.at(-1), summary.last_message];
    const date = dates.get(uri) ?? "";
    lines.set(uri, {
      uri,
      members: users,
      title: users.length > 0 ? titleOf(users, count, user) : "",
      last: heard && heard.id >= (known?.id ?? 0) ? heard : known,
      ...countUnread(summary, timeline),
      hasUnsent: unsent.some(({ state }) => state === "refused"),
      date: date > summary.update_date ? date : summary.update_date,
    });
  }

  /** What was there before the room was opened is counted by the server, unless one has read on since. */
  function countUnread(summary: ChatSummary, timeline?: Room["timeline"]): { unread: number; more: boolean } {
    if (!timeline) return { unread: summary.unread, more: summary.unread_more };
    const read = Math.max(timeline.read.get(user.id) ?? 0, summary.read_id);
    const isNews = ({ user: author, delete_date }: Message) => author.id !== user.id && delete_date === null;
    const newer = (id: number) => timeline.messages.filter((one) => one.id > id && isNews(one)).length;
    if (read >= summary.last_id || timeline.first <= read + 1) return { unread: newer(read), more: false };
    return { unread: summary.unread + newer(summary.last_id), more: summary.unread_more };
  }

  const isSeen = () => document.visibilityState === "visible";
  const look = () => isSeen() && void refresh();
  document.addEventListener("visibilitychange", look);
  const endings = [
    client.connection.on("open", look),
    client.connection.on("frame", (frame) => {
      if (frame.type === "added" && (!summaries.has(frame.uri) || left.has(frame.uri))) refreshSoon();
    }),
    client.outbox.on("change", show),
  ];
  watch(opened, attend);
  onScopeDispose(() => {
    document.removeEventListener("visibilitychange", look);
    clearTimeout(timer);
    for (const end of endings) end();
  });
  void refresh();

  return { lines: sorted, unread, next, problem, refresh, older, retry };
}
