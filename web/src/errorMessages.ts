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

/** The error of a link in a mail, as users see it: `uid` and `token` are no fields that they have filled in. */
export function mailLinkError(error: unknown): unknown {
  const isLink = error instanceof ApiError && ["uid", "token", "non_field_errors"].some((name) => name in error.fields);
  return isLink ? new ApiError(400, "This link is not valid any more. Request another mail.") : error;
}

function apiErrorMessage({ status, message, fields, retryAfter = 60 }: ApiError): string {
  if (status === 501) return message;
  if (status >= 500) return "Confab is busy. Try again in a moment.";
  if (status === 429)
    return `That was too often. Try again in ${retryAfter} ${retryAfter === 1 ? "second" : "seconds"}.`;
  return Object.values(fields).flat().join(" ") || message;
}
