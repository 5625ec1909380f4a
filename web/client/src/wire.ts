/** What is said over WebSocket, as it stands on the wire. Dates are UTC to the microsecond, such as `2026-11-23T16:00:00.123456Z`. */

/** A user, as everybody sees them who shares a chat with them. */
export interface User {
  readonly id: number;
  readonly username: string;
  /** May be empty for other users, depending on the server. */
  readonly email: string;
  readonly first_name: string;
  readonly last_name: string;
}

/** An emoji that `count` users have put to a message, the caller among them if it is `mine`. */
export interface Reaction {
  readonly emoji: string;
  readonly count: number;
  readonly mine: boolean;
}

/** A message as it is now. Of a deleted one only this much is left: an empty text, and when it was deleted. */
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

interface Happening {
  readonly uri: string;
  /** The number in the chat's log. */
  readonly id: number;
  readonly user: User;
  readonly create_date: string;
}

interface Amendment extends Happening {
  /** The id of the message that it is about. */
  readonly of: number;
}

/** Somebody said something. Told again later, it has the present text. */
export interface MessageEntry extends Happening {
  readonly type: "message";
  readonly message: string;
  readonly reply_to?: number;
  readonly edit_date?: string;
  readonly delete_date?: string;
}

/** A message says something else now: its present text, which is empty if it has been deleted since. */
export interface EditedEntry extends Amendment {
  readonly type: "edited";
  readonly message: string;
  readonly delete_date?: string;
}

/** A message was deleted. */
export interface DeletedEntry extends Amendment {
  readonly type: "deleted";
}

/** A reaction came or went; `count` users have it at the time of telling. */
export interface ReactedEntry extends Amendment {
  readonly type: "reacted" | "unreacted";
  readonly emoji: string;
  readonly count?: number;
}

/** Somebody came in, went out, or became the owner. */
export interface MemberEntry extends Happening {
  readonly type: "joined" | "left" | "owner";
}

/** What is about a message that has been said before. */
export type AmendingEntry = EditedEntry | DeletedEntry | ReactedEntry;

/** An entry of a chat's log. Ids count up by one in each chat. */
export type Entry = MessageEntry | AmendingEntry | MemberEntry;

/** What happens in a chat and is not kept. */
export type Notice =
  | { readonly type: "read"; readonly uri: string; readonly user: User; readonly read_id: number }
  | { readonly type: "typing" | "online" | "offline"; readonly uri: string; readonly user: User };

/** State that is not in the log. In chats of more than 100 members it is null or absent: unknown. */
export interface Standing {
  /** How far each member has read, by the user's id. */
  readonly read?: Readonly<Record<string, number>> | null;
  /** The ids of those who listen. */
  readonly online?: readonly number[] | null;
}

/** The answer to `subscribe`. If it is not `recovered`, more was missed than it could hold. */
export interface Subscribed extends Standing {
  readonly type: "subscribed";
  readonly uri: string;
  readonly last_id: number;
  readonly recovered: boolean;
  readonly entries: readonly Entry[];
}

/** The answer to `send`. */
export interface Sent {
  readonly type: "sent";
  readonly uri: string;
  readonly id: number;
  readonly key?: string;
  readonly create_date: string;
}

/** What could not be done. */
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

/** What is answered that is no news of a chat. */
export type Answer =
  | Subscribed
  | Sent
  | ErrorFrame
  | { readonly type: "unsubscribed"; readonly uri: string }
  /** One is in this chat now, perhaps by invitation; all of one's sockets are told. */
  | { readonly type: "added"; readonly uri: string }
  | { readonly type: "done"; readonly action: string; readonly uri: string; readonly id: number; readonly key?: string }
  | { readonly type: "pong" };

/** An object from the server. Programs can publish others, of any `type` that is none of these, with the `uri` of a chat. */
export type Frame = Entry | Notice | Answer;

/** An object that a program published into a chat. */
export interface Published {
  readonly uri: string;
  readonly [name: string]: unknown;
}

/** What a client says. */
export type Action =
  | { readonly action: "subscribe"; readonly uri: string; readonly after: number }
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
