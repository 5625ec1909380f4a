/** The previews of the user's chats, latest activity first. The latest ones are subscribed to, so that they are live. */

import type { Chat, ChatSummary, User } from "@confab/client";
import { computed, onScopeDispose, shallowReactive, watch } from "vue";
import { type ChatPreview, countUnread, isSummaryOutdated, lastMessageOf } from "../chatPreview";
import { chatTitle } from "../displayNames";
import { acquireChat, type SharedChat } from "../sharedChats";
import type { Login } from "./useLogin";
import { useRoute } from "./useRoute";

/** The number of chats that are subscribed to. The server allows 100 for each socket, including the open chat. */
export const MAX_SUBSCRIBED = 80;

/** `onOutdated` is called when the summaries have to be loaded again. */
export function useChatPreviews({ api, client, user }: Login, onOutdated: () => void) {
  const route = useRoute();
  const previews = shallowReactive(new Map<string, ChatPreview>());
  const summaries = new Map<string, ChatSummary>();
  const subscribed = new Map<string, SharedChat>();
  /** Chats that the user left. */
  const left = new Set<string>();
  /** The known members of each chat, and the number of all. */
  const members = new Map<string, { readonly users: readonly User[]; readonly count: number }>();
  /** The date of the last entry of each chat. */
  const dates = new Map<string, string>();

  const sorted = computed(() => [...previews.values()].sort((a, b) => (a.date < b.date ? 1 : -1)));
  const openUri = computed(() => (route.value.name === "chat" ? route.value.uri : undefined));

  /** Whether a chat is in the list, and the user has not left it. */
  function isListed(uri: string): boolean {
    return summaries.has(uri) && !left.has(uri);
  }

  /** Adds or replaces the summaries of chats. */
  function setSummaries(page: readonly ChatSummary[]): void {
    for (const summary of page) {
      summaries.set(summary.uri, summary);
      left.delete(summary.uri);
      updatePreview(summary.uri);
    }
    updateSubscriptions();
    for (const { uri } of page) if (!subscribed.has(uri)) void loadMembers(uri);
  }

  /** Subscribes to the latest chats and the open one, and unsubscribes from all others. */
  function updateSubscriptions(): void {
    const wanted = new Set(sorted.value.slice(0, MAX_SUBSCRIBED).map(({ uri }) => uri));
    if (openUri.value) wanted.add(openUri.value);
    for (const uri of subscribed.keys()) if (!wanted.has(uri)) unsubscribe(uri);
    for (const uri of wanted) if (!subscribed.has(uri) && !left.has(uri)) subscribe(uri);
  }

  function subscribe(uri: string): void {
    const summary = summaries.get(uri);
    const listen = (chat: Chat) => [
      chat.on("change", () => updatePreview(uri)),
      chat.on("entry", (entry) => {
        dates.set(uri, entry.create_date);
        if (isSummaryOutdated(summaries.get(uri), chat.timeline, entry)) onOutdated();
      }),
      chat.on("state", (state) => state === "left" && onLeft(uri)),
    ];
    subscribed.set(uri, acquireChat(client, uri, listen, summary && { after: summary.last_id }));
    updatePreview(uri);
  }

  /** Unsubscribes from a chat. Its summary is updated to the last state that is known. */
  function unsubscribe(uri: string): void {
    const [shared, summary, preview] = [subscribed.get(uri), summaries.get(uri), previews.get(uri)];
    if (shared && summary && preview) {
      summaries.set(uri, {
        ...summary,
        last_id: Math.max(shared.chat.lastId, summary.last_id),
        last_message: preview.lastMessage,
        unread: preview.unread,
        unread_more: preview.hasMoreUnread,
        update_date: preview.date,
      });
    }
    shared?.release();
    subscribed.delete(uri);
  }

  /** A chat that the user left stays in the list while it has unsent messages. */
  function onLeft(uri: string): void {
    unsubscribe(uri);
    left.add(uri);
    updatePreview(uri);
  }

  /** Loads the members of a chat that is not subscribed to. */
  async function loadMembers(uri: string): Promise<void> {
    if (members.get(uri)?.count === summaries.get(uri)?.member_count) return;
    try {
      const { members: users, member_count: count = users.length } = await api.chat(uri);
      members.set(uri, { users, count });
      updatePreview(uri);
    } catch {
      // The preview has no title until the list is loaded again.
    }
  }

  function updatePreview(uri: string): void {
    const summary = summaries.get(uri);
    if (!summary) return;
    const unsent = client.outbox.of(uri);
    if (left.has(uri) && unsent.length === 0) {
      summaries.delete(uri);
      previews.delete(uri);
      return;
    }
    const timeline = subscribed.get(uri)?.chat.timeline;
    if (timeline && timeline.members.length > 0) {
      members.set(uri, { users: timeline.members, count: timeline.memberCount });
    }
    const { users, count } = members.get(uri) ?? { users: [], count: 0 };
    const date = dates.get(uri) ?? "";
    previews.set(uri, {
      uri,
      members: users,
      title: users.length > 0 ? chatTitle(users, count, user) : "",
      lastMessage: lastMessageOf(summary, timeline),
      ...countUnread(summary, timeline, user),
      hasRefused: unsent.some(({ state }) => state === "refused"),
      date: date > summary.update_date ? date : summary.update_date,
    });
  }

  onScopeDispose(client.outbox.on("change", updatePreview));
  watch(openUri, updateSubscriptions);

  return { previews: sorted, isListed, setSummaries };
}
