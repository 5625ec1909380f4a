/** The user's chats, latest activity first. The latest ones are subscribed to, so that the list is live. */

import type { Chat, ChatSummary, User } from "@confab/client";
import { computed, onScopeDispose, ref, shallowReactive, watch } from "vue";
import { type ChatPreview, countUnread, isSummaryOutdated, lastMessageOf } from "../chatPreview";
import { chatTitle } from "../displayNames";
import { errorMessage } from "../errorMessages";
import { acquireChat, type SharedChat } from "../sharedChats";
import type { Login } from "./useLogin";
import { useRoute } from "./useRoute";

/**
 * The number of chats that are loaded at once and subscribed to. The server allows 100 for each socket, including the
 * open chat.
 */
const MAX_SUBSCRIBED = 80;
/** The delay in milliseconds before the list is loaded again, so that several changes cause one request. */
const REFRESH_DELAY = 300;

export type ChatList = ReturnType<typeof useChatList>;

type PageRequest = string | { limit: number };

export function useChatList({ api, client, user }: Login) {
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
  const next = ref<string | null>();
  const problem = ref("");
  let failedRequest: PageRequest | undefined;
  let refreshTimer: number | undefined;

  const sorted = computed(() => [...previews.values()].sort((a, b) => (a.date < b.date ? 1 : -1)));
  const unread = computed(() => sorted.value.reduce((sum, preview) => sum + preview.unread, 0));
  const openUri = computed(() => (route.value.name === "chat" ? route.value.uri : undefined));

  async function refresh(): Promise<void> {
    await load({ limit: MAX_SUBSCRIBED });
  }

  function refreshSoon(): void {
    refreshTimer ??= window.setTimeout(() => {
      refreshTimer = undefined;
      void refresh();
    }, REFRESH_DELAY);
  }

  async function loadOlder(): Promise<void> {
    if (next.value) await load(next.value);
  }

  /** Retries the request that failed. */
  async function retry(): Promise<void> {
    await load(failedRequest ?? { limit: MAX_SUBSCRIBED });
  }

  async function load(request: PageRequest): Promise<void> {
    try {
      const page = await api.chats(request);
      for (const summary of page.chats) {
        summaries.set(summary.uri, summary);
        left.delete(summary.uri);
        updatePreview(summary.uri);
      }
      if (next.value === undefined || typeof request === "string") next.value = page.next;
      problem.value = "";
      updateSubscriptions();
      for (const { uri } of page.chats) if (!subscribed.has(uri)) void loadMembers(uri);
    } catch (error) {
      problem.value = errorMessage(error);
      failedRequest = request;
    }
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
        if (isSummaryOutdated(summaries.get(uri), chat.timeline, entry)) refreshSoon();
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

  const refreshIfVisible = () => document.visibilityState === "visible" && void refresh();
  document.addEventListener("visibilitychange", refreshIfVisible);
  const removeListeners = [
    client.connection.on("open", refreshIfVisible),
    client.connection.on("frame", (frame) => {
      if (frame.type === "added" && (!summaries.has(frame.uri) || left.has(frame.uri))) refreshSoon();
    }),
    client.outbox.on("change", updatePreview),
  ];
  watch(openUri, updateSubscriptions);
  onScopeDispose(() => {
    document.removeEventListener("visibilitychange", refreshIfVisible);
    clearTimeout(refreshTimer);
    for (const removeListener of removeListeners) removeListener();
  });
  void refresh();

  return { previews: sorted, unread, next, problem, refresh, loadOlder, retry };
}
