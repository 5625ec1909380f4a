/** The list of the user's chats, latest activity first, which is loaded in pages. */

import { computed, onScopeDispose, ref } from "vue";
import { errorMessage } from "../errorMessages";
import { MAX_SUBSCRIBED, useChatPreviews } from "./useChatPreviews";
import type { Login } from "./useLogin";

/** The delay in milliseconds before the list is loaded again, so that several changes cause one request. */
const REFRESH_DELAY = 300;

export type ChatList = ReturnType<typeof useChatList>;

type PageRequest = string | { limit: number };

export function useChatList(login: Login) {
  const { api, client } = login;
  const { previews, isListed, setSummaries } = useChatPreviews(login, refreshSoon);
  /** The URL of the next page; null after the last one, and undefined before the first one. */
  const next = ref<string | null>();
  /** Why the last request failed, for display. */
  const problem = ref("");
  let failedRequest: PageRequest | undefined;
  let refreshTimer: number | undefined;
  const unread = computed(() => previews.value.reduce((sum, preview) => sum + preview.unread, 0));

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
      if (next.value === undefined || typeof request === "string") next.value = page.next;
      problem.value = "";
      setSummaries(page.chats);
    } catch (error) {
      problem.value = errorMessage(error);
      failedRequest = request;
    }
  }

  const refreshIfVisible = () => document.visibilityState === "visible" && void refresh();
  document.addEventListener("visibilitychange", refreshIfVisible);
  const removeListeners = [
    client.connection.on("open", refreshIfVisible),
    client.connection.on("frame", (frame) => {
      if (frame.type === "added" && !isListed(frame.uri)) refreshSoon();
    }),
  ];
  onScopeDispose(() => {
    document.removeEventListener("visibilitychange", refreshIfVisible);
    clearTimeout(refreshTimer);
    for (const removeListener of removeListeners) removeListener();
  });
  void refresh();

  return { previews, unread, next, problem, refresh, loadOlder, retry };
}
