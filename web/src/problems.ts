/** What went wrong, in words that say what to do. */

import { ApiError } from "@confab/client";

export const UNREACHABLE = "Confab cannot be reached. Check your connection; what you write is sent when it is back.";

export function explain(error: unknown): string {
  if (!(error instanceof ApiError)) return "Confab cannot be reached. Check your connection and try again.";
  if (error.status === 503) return "Confab is busy. Try again in a moment.";
  if (error.status === 429) return `${error.message} Try again in ${error.retryAfter ?? 60} seconds.`;
  return Object.values(error.fields).flat().join(" ") || error.message;
}
