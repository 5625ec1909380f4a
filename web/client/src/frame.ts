/**
 * Parses frames from a socket. Other programs publish to the same sockets and may use a `type` of the protocol for
 * something else, so a frame is dropped unless it has the fields of its type.
 */

import { isRetryDelay } from "./api.js";
import type { Frame } from "./wire.js";

type Fields = Readonly<Record<string, unknown>>;

/**
 * The frame on a line, or undefined if it is invalid. A dropped entry leaves a gap in the log, which the client
 * notices.
 */
export function parseFrame(line: string): Frame | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) && isFrame(value) ? (value as unknown as Frame) : undefined;
  } catch {
    return undefined;
  }
}

function isFrame(frame: Fields): boolean {
  switch (frame.type) {
    case "message":
      return isEntry(frame) && typeof frame.message === "string";
    case "edited":
      return isMessageUpdate(frame) && typeof frame.message === "string";
    case "deleted":
      return isMessageUpdate(frame);
    case "reacted":
    case "unreacted":
      return isMessageUpdate(frame) && typeof frame.emoji === "string";
    case "joined":
    case "left":
    case "owner":
      return isEntry(frame);
    case "void":
      return typeof frame.uri === "string" && isId(frame.id);
    case "read":
      return isReadMarkers(frame.read);
    case "typing":
    case "online":
    case "offline":
      return isUser(frame.user);
    case "subscribed":
      return (
        isId(frame.last_id) &&
        isArrayOf(frame.entries, (entry) => isObject(entry) && isFrame(entry)) &&
        isEphemeralState(frame)
      );
    case "subscriptions":
      return isArrayOf(frame.chats, isSubscribeResponse);
    case "sent":
      return typeof frame.uri === "string" && isId(frame.id);
    case "error":
      return isId(frame.status) && typeof frame.detail === "string" && isRetryDelay(frame.retry_after ?? 0);
    default:
      return true;
  }
}

function isSubscribeResponse(value: unknown): boolean {
  return isObject(value) && (value.type === "subscribed" || value.type === "error") && isFrame(value);
}

function isEntry({ uri, id, user, create_date }: Fields): boolean {
  return typeof uri === "string" && isId(id) && isUser(user) && typeof create_date === "string";
}

function isMessageUpdate(frame: Fields): boolean {
  return isEntry(frame) && isId(frame.of);
}

function isEphemeralState({ read = null, online = null }: Fields): boolean {
  return (read === null || isReadMarkers(read)) && (online === null || isArrayOf(online, isId));
}

function isReadMarkers(value: unknown): boolean {
  return isObject(value) && Object.values(value).every(isId);
}

function isUser(value: unknown): boolean {
  return isObject(value) && isId(value.id);
}

function isArrayOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isItem);
}

function isId(value: unknown): boolean {
  return Number.isSafeInteger(value);
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}
