import type { Api } from "./api.js";
import type { Timeline } from "./timeline.js";

/** The number of latest entries that are loaded again after a long absence. Older messages have to be requested. */
const MAX_RELOADED = 2_000;
/** The maximum page size of the server. */
const PAGE_SIZE = 1_000;

/**
 * Loads the messages of a timeline again, since they may have been edited, deleted or reacted to, and those after them.
 * `lastId` is the id of the chat's last entry.
 */
export async function reloadHistory(
  api: Api,
  uri: string,
  timeline: Timeline,
  lastId: number,
  signal: AbortSignal,
): Promise<void> {
  const after = Math.max(timeline.firstId - 1, lastId - MAX_RELOADED);
  timeline.dropBefore(after + 1);
  let page = await api.history(uri, { after, limit: PAGE_SIZE }, signal);
  timeline.addHistory(page);
  while (page.next !== null) {
    page = await api.history(uri, page.next, signal);
    timeline.addHistory(page);
  }
}
