/** Error messages for users, which say what to do. */

import { ApiError, UnreachableError } from "@confab/client";

export const OFFLINE_MESSAGE =
  "Confab cannot be reached. Check your connection; what you write is sent when it is back.";

export function errorMessage(error: unknown): string {
  if (error instanceof ApiError) return apiErrorMessage(error);
  const isTimeout = error instanceof DOMException && error.name === "TimeoutError";
  if (isTimeout || error instanceof UnreachableError)
    return "Confab cannot be reached. Check your connection and try again.";
  // A bug in the page: report it as an uncaught error.
  reportError(error);
  return "Something went wrong in this page. Load it again, and try once more.";
}

function apiErrorMessage({ status, message, fields, retryAfter = 60 }: ApiError): string {
  if (status >= 500) return "Confab is busy. Try again in a moment.";
  if (status === 429)
    return `That was too often. Try again in ${retryAfter} ${retryAfter === 1 ? "second" : "seconds"}.`;
  return Object.values(fields).flat().join(" ") || message;
}
