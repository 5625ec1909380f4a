/** What went wrong, in words that say what to do. */

import { ApiError, UnreachableError } from "@confab/client";

export const UNREACHABLE = "Confab cannot be reached. Check your connection; what you write is sent when it is back.";

export function explain(error: unknown): string {
  if (error instanceof ApiError) return explainRefusal(error);
  const isLate = error instanceof DOMException && error.name === "TimeoutError";
  if (isLate || error instanceof UnreachableError)
    return "Confab cannot be reached. Check your connection and try again.";
  // A fault of the page's own: whoever watches for uncaught errors is to hear of it.
  reportError(error);
  return "Something went wrong in this page. Load it again, and try once more.";
}

function explainRefusal({ status, message, fields, retryAfter = 60 }: ApiError): string {
  if (status >= 500) return "Confab is busy. Try again in a moment.";
  if (status === 429)
    return `That was too often. Try again in ${retryAfter} ${retryAfter === 1 ? "second" : "seconds"}.`;
  return Object.values(fields).flat().join(" ") || message;
}
