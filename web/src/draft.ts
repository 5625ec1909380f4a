/** What one is writing in each chat; it stays there while one looks at another chat. */

import type { Message, User } from "@confab/client";
import { reactive } from "vue";

/** The limit of the server, in Unicode code points. */
export const LENGTH = 2000;

export interface Draft {
  text: string;
  replyTo: Message | undefined;
  editing: Message | undefined;
  /** What one was writing before one began to edit. */
  kept: Pick<Draft, "text" | "replyTo"> | undefined;
}

const drafts = new Map<string, Draft>();

/** Who logs in on the same page next has drafts of their own. */
export function draftOf(user: User, uri: string): Draft {
  const name = `${user.id} ${uri}`;
  const known = drafts.get(name);
  if (known) return known;
  const draft = reactive<Draft>({ text: "", replyTo: undefined, editing: undefined, kept: undefined });
  drafts.set(name, draft);
  return draft;
}

/** After it was sent. */
export function clear(draft: Draft): void {
  draft.text = "";
  draft.replyTo = undefined;
}

export function beginEdit(draft: Draft, message: Message): void {
  const { text, replyTo } = draft;
  if (!draft.editing) draft.kept = { text, replyTo };
  Object.assign(draft, { text: message.message, replyTo: undefined, editing: message });
}

/** Goes back to what one was writing before. */
export function endEdit(draft: Draft): void {
  const { text = "", replyTo } = draft.kept ?? {};
  Object.assign(draft, { text, replyTo, editing: undefined, kept: undefined });
}
