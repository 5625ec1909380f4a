/** The state of an open chat: a snapshot of the subscribed chat and the outbox, taken whenever one of them changes. */

import type { Chat, OutboxMessage } from "@confab/client";
import { computed, onScopeDispose, ref, shallowRef } from "vue";
import { isSame, type ReadReceipt, readReceiptOf, takeSnapshot } from "../chatSnapshot";
import { errorMessage } from "../errorMessages";
import { acquireChat } from "../sharedChats";
import { useAnnouncements } from "./useAnnouncements";
import type { Login } from "./useLogin";

/** The minimum number of messages that are shown, if there are as many. */
const MIN_MESSAGES = 100;
/** The page size when loading back to a certain message. */
const LARGE_PAGE_SIZE = 1000;

export function useChat({ client, user }: Login, uri: string) {
  const { announcements, announce } = useAnnouncements(user);
  const listen = (chat: Chat) => [chat.on("change", update), chat.on("state", update), chat.on("entry", announce)];
  let shared = acquireChat(client, uri, listen);
  let pending: readonly OutboxMessage[] = [];
  const snapshot = shallowRef(takeSnapshot(shared.chat, updatePending(), user));
  const isLoading = ref(false);
  /** Why loading older messages failed, for display. */
  const problem = ref("");
  let olderRequest: Promise<void> | undefined;
  /** The last message that the user saw, and the last one that was marked as read. */
  let seenId = 0;
  let markedId = 0;

  const readReceipt = computed<ReadReceipt | undefined>((before) => readReceiptOf(snapshot.value, user, before));

  /**
   * The messages that are not in the timeline yet. The same array until that changes, so that nothing is rendered
   * again.
   */
  function updatePending(): readonly OutboxMessage[] {
    // Until the chat applies the entry, a sent message is still in the outbox.
    const { timeline } = shared.chat;
    const now = client.outbox.of(uri).filter(({ id }) => id === undefined || !timeline.message(id));
    if (!isSame(now, pending)) pending = now;
    return pending;
  }

  function update(): void {
    snapshot.value = takeSnapshot(shared.chat, updatePending(), user);
    sendReadMarker();
    const { hasOlder, messages } = snapshot.value;
    if (hasOlder && messages.length < MIN_MESSAGES && !problem.value) void loadOlder();
  }

  /** Loads older messages. Concurrent calls share one request. */
  function loadOlder(limit?: number): Promise<void> {
    olderRequest ??= requestOlder(limit);
    return olderRequest;
  }

  async function requestOlder(limit?: number): Promise<void> {
    isLoading.value = true;
    try {
      await shared.chat.loadOlder(limit);
      problem.value = "";
    } catch (error) {
      problem.value = errorMessage(error);
    } finally {
      isLoading.value = false;
      olderRequest = undefined;
    }
    update();
  }

  /** Loads the history back to a message. */
  async function loadBackTo(id: number): Promise<void> {
    while (shared.chat.timeline.firstId > id && snapshot.value.hasOlder) {
      await loadOlder(LARGE_PAGE_SIZE);
      if (problem.value) return;
    }
  }

  /** Marks all messages as read that are loaded. */
  function markRead(): void {
    seenId = snapshot.value.messages.findLast((message) => message.user.id !== user.id)?.id ?? 0;
    sendReadMarker();
  }

  /** The history may be newer than the last applied entry. The marker follows when the entries arrive. */
  function sendReadMarker(): void {
    const id = Math.min(seenId, shared.chat.lastId);
    if (id <= markedId) return;
    markedId = id;
    shared.chat.markRead(id);
  }

  /** After the user left, subscribes again, since the user may have been added again. */
  function reopen(): void {
    if (shared.chat.state !== "left") return;
    shared.release();
    shared = acquireChat(client, uri, listen);
    seenId = markedId = 0;
    update();
  }

  const removeListeners = [
    client.outbox.on("change", (changed) => changed === uri && update()),
    client.connection.on("frame", (frame) => frame.type === "added" && frame.uri === uri && reopen()),
    client.connection.on("open", () => {
      problem.value = "";
      reopen();
      update();
    }),
  ];
  onScopeDispose(() => {
    for (const removeListener of removeListeners) removeListener();
    shared.release();
  });
  update();

  return {
    snapshot,
    readReceipt,
    announcements,
    isLoading,
    problem,
    loadOlder,
    loadBackTo,
    markRead,
    sendTyping: () => shared.chat.sendTyping(),
    loadMoreMembers: () => shared.chat.loadMoreMembers(),
  };
}
