/** What may be sent: text that is Unicode, messages that are not too long, and frames that the gateway takes. */

/** A message has so many characters (Unicode scalar values) at most, and at least one. */
export const MESSAGE_CHARACTERS = 2000;

/** A WebSocket frame has so many bytes at most. API Gateway closes the socket over a larger one, without an answer. */
export const FRAME_BYTES = 32 * 1024;

/**
 * The text with U+FFFD for each half of a surrogate pair, as `String.prototype.toWellFormed` gives it where there is one. Such a half is not
 * Unicode: servers cannot read JSON that has one, and `encodeURIComponent` throws.
 */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\uFFFD");
}

/** A part of a path. */
export function encoded(text: string): string {
  return encodeURIComponent(wellFormed(text));
}

/** JSON that every reader can read. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === "string" ? wellFormed(part) : part));
}

/** Whether a text fits one frame. */
export function fitsFrame(text: string): boolean {
  return new TextEncoder().encode(text).length <= FRAME_BYTES;
}

/** Why a text cannot be a message, for people to read. */
export function problemOf(message: string): string | undefined {
  const { length } = [...message];
  if (length === 0) return "A message has at least one character.";
  if (length <= MESSAGE_CHARACTERS) return undefined;
  const [limit, count] = [MESSAGE_CHARACTERS, length].map((number) => number.toLocaleString("en"));
  return `A message has at most ${limit} characters; this one has ${count}.`;
}
