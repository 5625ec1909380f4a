/**
 * The frames of the WebSocket API, as they are on the wire. Dates are UTC with microseconds, such as
 * `2026-11-23T16:00:00.123456Z`.
 */

/** A user, as shown to those who share a chat with them. */
export interface User {
  readonly id: number;
  readonly username: string;
  /** May be empty for other users, depending on the server. */
  readonly email: string;
  readonly first_name: string;
  readonly last_name: string;
}

/** An emoji on a message: used by `count` users, including the caller if it is `mine`. */
export interface Reaction {
  readonly emoji: string;
  readonly count: number;
  readonly mine: boolean;
}

/** The current state of a message. A deleted message has an empty text and a `delete_date`. */
export interface Message {
  readonly id: number;
  readonly user: User;
  readonly message: string;
  readonly create_date: string;
  readonly edit_date: string | null;
  readonly delete_date: string | null;
  /** The id of the message that this one replies to. */
  readonly reply_to: number | null;
  /** Most used first. */
  readonly reactions: readonly Reaction[];
}

/** The fields that all log entries have. */
interface EntryBase {
  readonly uri: string;
  /** The position in the chat's log. */
  readonly id: number;
  readonly user: User;
  readonly create_date: string;
}

interface MessageUpdateBase extends EntryBase {
  /** The id of the message that is updated. */
  readonly of: number;
}

/** A message was posted. The text is the current one, also if the entry is delivered later. */
export interface MessageEntry extends EntryBase {
  readonly type: "message";
  readonly message: string;
  readonly reply_to?: number;
  readonly edit_date?: string;
  readonly delete_date?: string;
}

/** A message was edited. The text is the current one; it is empty if the message has been deleted since. */
export interface EditedEntry extends MessageUpdateBase {
  readonly type: "edited";
  readonly message: string;
  readonly delete_date?: string;
}

/** A message was deleted. */
export interface DeletedEntry extends MessageUpdateBase {
  readonly type: "deleted";
}

/** A reaction was added or removed; `count` is the number of users who have it when the entry is delivered. */
export interface ReactedEntry extends MessageUpdateBase {
  readonly type: "reacted" | "unreacted";
  readonly emoji: string;
  readonly count?: number;
}

/** A user joined, left, or became the owner. */
export interface MemberEntry extends EntryBase {
  readonly type: "joined" | "left" | "owner";
}

/** Nothing: the id was reserved for an entry that was never written. */
export interface VoidEntry {
  readonly type: "void";
  readonly uri: string;
  readonly id: number;
  readonly create_date: string;
}

/** An entry that changes an earlier message. */
export type MessageUpdateEntry = EditedEntry | DeletedEntry | ReactedEntry;

/** An entry of a chat's log in which something happened. */
export type Entry = MessageEntry | MessageUpdateEntry | MemberEntry;

/** Any entry of a chat's log. Ids are consecutive within a chat. */
export type LogEntry = Entry | VoidEntry;

/** An event in a chat that is not stored in its log: a read marker, a typing indicator, or presence. */
export type ChatEvent =
  /** Read markers, by user id: those of the chat that have moved, or as the response to `read` the own one. */
  | { readonly type: "read"; readonly uri: string; readonly read: Readonly<Record<string, number>> }
  | { readonly type: "typing" | "online" | "offline"; readonly uri: string; readonly user: User };

/** The state of a chat that is not in its log. In chats with more than 100 members it is null or absent: unknown. */
export interface EphemeralState {
  /** The read marker of each member, by user id. */
  readonly read?: Readonly<Record<string, number>> | null;
  /** The ids of the users who are online. */
  readonly online?: readonly number[] | null;
}

/** The response to `subscribe`. `recovered` is false if more entries were missed than fit into a frame. */
export interface SubscribedFrame extends EphemeralState {
  readonly type: "subscribed";
  readonly uri: string;
  readonly last_id: number;
  readonly recovered: boolean;
  readonly entries: readonly LogEntry[];
}

/** The response to `subscribe` with several chats: for each what the response to it alone would be. */
export interface SubscriptionsFrame {
  readonly type: "subscriptions";
  readonly chats: readonly (SubscribedFrame | ErrorFrame)[];
}

/** The response to `send`. */
export interface SentFrame {
  readonly type: "sent";
  readonly uri: string;
  readonly id: number;
  readonly key?: string;
  readonly create_date: string;
}

/** The response to an action that failed. */
export interface ErrorFrame {
  readonly type: "error";
  readonly action: string | null;
  readonly status: number;
  readonly detail: string;
  readonly uri?: string;
  readonly id?: number;
  readonly key?: string;
  /** In seconds. */
  readonly retry_after?: number;
}

/** A frame that is neither an entry nor an event. */
export type ResponseFrame =
  | SubscribedFrame
  | SubscriptionsFrame
  | SentFrame
  | ErrorFrame
  | { readonly type: "unsubscribed"; readonly uri: string }
  /** The user was added to this chat. It is sent to all of the user's connections. */
  | { readonly type: "added"; readonly uri: string }
  | { readonly type: "done"; readonly action: string; readonly uri: string; readonly id: number; readonly key?: string }
  | { readonly type: "pong" };

/** A frame from the server. Other programs can publish frames with any other `type`, and the `uri` of a chat. */
export type Frame = LogEntry | ChatEvent | ResponseFrame;

/** A frame that another program published to a chat. */
export interface PublishedFrame {
  readonly uri: string;
  readonly [name: string]: unknown;
}

/** A chat to subscribe to, and the last entry that the client has of it. */
export interface Subscription {
  readonly uri: string;
  readonly after: number;
}

/** A frame from the client. */
export type Action =
  | ({ readonly action: "subscribe" } & Subscription)
  | { readonly action: "subscribe"; readonly chats: readonly Subscription[] }
  | { readonly action: "unsubscribe" | "typing"; readonly uri: string }
  | { readonly action: "read"; readonly uri: string; readonly id: number }
  | {
      readonly action: "send";
      readonly uri: string;
      readonly message: string;
      readonly key: string;
      readonly reply_to?: number;
    }
  | { readonly action: "ping" };
