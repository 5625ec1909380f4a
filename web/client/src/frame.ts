/**
 * Reading what comes over a socket. Other programs publish there too, and nothing keeps them from using a `type` of the protocol's own for
 * something else; what is told under such a name has to be what it says, or it is left out.
 */

import { isWait } from "./api.js";
import type { Frame } from "./wire.js";

type Fields = Readonly<Record<string, unknown>>;

/** The object on a line. What cannot be read is left out: where an entry was, that shows as a hole. */
export function readFrame(line: string): Frame | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) && isFit(value) ? (value as unknown as Frame) : undefined;
  } catch {
    return undefined;
  }
}

function isFit(frame: Fields): boolean {
  switch (frame.type) {
    case "message":
      return isHappening(frame) && typeof frame.message === "string";
    case "edited":
      return isAmendment(frame) && typeof frame.message === "string";
    case "deleted":
      return isAmendment(frame);
    case "reacted":
    case "unreacted":
      return isAmendment(frame) && typeof frame.emoji === "string";
    case "joined":
    case "left":
    case "owner":
      return isHappening(frame);
    case "read":
      return isUser(frame.user) && isId(frame.read_id);
    case "typing":
    case "online":
    case "offline":
      return isUser(frame.user);
    case "subscribed":
      return (
        isId(frame.last_id) && isEach(frame.entries, (entry) => isObject(entry) && isFit(entry)) && isStanding(frame)
      );
    case "sent":
      return typeof frame.uri === "string" && isId(frame.id);
    case "error":
      return isId(frame.status) && typeof frame.detail === "string" && isWait(frame.retry_after ?? 0);
    default:
      return true;
  }
}

function isHappening({ uri, id, user, create_date }: Fields): boolean {
  return typeof uri === "string" && isId(id) && isUser(user) && typeof create_date === "string";
}

function isAmendment(frame: Fields): boolean {
  return isHappening(frame) && isId(frame.of);
}

function isStanding({ read = null, online = null }: Fields): boolean {
  const isRead = read === null || (isObject(read) && Object.values(read).every(isId));
  return isRead && (online === null || isEach(online, isId));
}

function isUser(value: unknown): boolean {
  return isObject(value) && isId(value.id);
}

function isEach(value: unknown, isGood: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isGood);
}

function isId(value: unknown): boolean {
  return Number.isSafeInteger(value);
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}
