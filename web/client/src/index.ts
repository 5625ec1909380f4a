/** The realtime client of Confab: {@link Api} to log in and ask, {@link Client} to listen and send, {@link Room} and its {@link Timeline} to show. */

export {
  Api,
  ApiError,
  type ApiOptions,
  type Chat,
  type ChatSummary,
  type Chats,
  type Found,
  type History,
  type Joined,
  type Members,
  type Posted,
  type Profile,
  UnreachableError,
} from "./api.js";
export { Client, type ClientOptions } from "./client.js";
export type { Connection, ConnectionState } from "./connection.js";
export type { Environment, Socket } from "./environment.js";
export type { Outbox, OutboxMessage, OutboxStorage } from "./outbox.js";
export type { Room, RoomState } from "./chat.js";
export { encoded, MESSAGE_CHARACTERS, problemOf, wellFormed } from "./text.js";
export { Timeline } from "./timeline.js";
export type * from "./wire.js";
