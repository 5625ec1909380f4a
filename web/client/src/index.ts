/**
 * The realtime client of Confab: {@link Api} calls the HTTP API, {@link Client} connects, {@link Chat} and its {@link
 * Timeline} hold a chat's state.
 */

export {
  Api,
  ApiError,
  type ApiOptions,
  type ChatDetail,
  type ChatPage,
  type ChatSummary,
  type HistoryPage,
  type MemberPage,
  type MembershipChange,
  type PostedMessage,
  type Profile,
  type SearchPage,
  type TokenInfo,
  UnreachableError,
} from "./api.js";
export type { Chat, ChatState } from "./chat.js";
export { Client, type ClientOptions } from "./client.js";
export type { Connection, ConnectionState } from "./connection.js";
export type { Environment, Socket } from "./environment.js";
export type { Outbox, OutboxMessage, OutboxStorage } from "./outbox.js";
export { encodePathSegment, MAX_MESSAGE_LENGTH, toWellFormed, validateMessage } from "./text.js";
export { Timeline } from "./timeline.js";
export type * from "./wire.js";
