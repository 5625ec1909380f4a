/** Limits of what can be sent: well-formed Unicode, the length of a message, the size of a frame. */

/** The maximum length of a message in characters (Unicode scalar values). */
export const MAX_MESSAGE_LENGTH = 2000;

/** The maximum size of a WebSocket frame. API Gateway closes the socket over a larger one without a response. */
export const MAX_FRAME_BYTES = 32 * 1024;

/**
 * Replaces lone surrogates with U+FFFD, as `String.prototype.toWellFormed` does, which not all supported browsers have.
 * JSON with a lone surrogate is rejected by servers, and `encodeURIComponent` throws on one.
 */
export function toWellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\uFFFD");
}

/** Encodes a path segment of a URL. */
export function encodePathSegment(text: string): string {
  return encodeURIComponent(toWellFormed(text));
}

/** JSON without lone surrogates. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === "string" ? toWellFormed(part) : part));
}

/** Whether a text fits into one frame. */
export function fitsFrame(text: string): boolean {
  return new TextEncoder().encode(text).length <= MAX_FRAME_BYTES;
}

/** Why a text is not a valid message, for display, or undefined if it is valid. */
export function validateMessage(message: string): string | undefined {
  const { length } = [...message];
  if (length === 0) return "A message has at least one character.";
  if (length <= MAX_MESSAGE_LENGTH) return undefined;
  const [limit, count] = [MAX_MESSAGE_LENGTH, length].map((number) => number.toLocaleString("en"));
  return `A message has at most ${limit} characters; this one has ${count}.`;
}
