/** What one is writing in each chat. It stays there while one looks at another chat, and beyond the page, until it is sent or one logs out. */

import { MESSAGE_CHARACTERS, type Message, type User } from "@confab/client";
import { type EffectScope, effectScope, reactive, watch } from "vue";
import { kept, namesOf, recall } from "./kept";

/** The limit of the server, in Unicode code points. */
export const LENGTH = MESSAGE_CHARACTERS;

/** A text with more UTF-16 units does not outlive the page: the room is needed for messages that are not sent yet. */
const LONGEST_KEPT = 20_000;

export interface Draft {
  text: string;
  /** The id of the message that it replies to. */
  replyTo: number | undefined;
  /** The id of the message that it is to replace. */
  editing: number | undefined;
  /** What one was writing before one began to edit. */
  kept: Pick<Draft, "text" | "replyTo"> | undefined;
}

/** By the names under which they are kept. */
const drafts = new Map<string, { readonly draft: Draft; readonly scope: EffectScope }>();

function prefixOf(user: User): string {
  return `confab.draft.${user.id}.`;
}

/** Who logs in on the same page next has drafts of their own. */
export function draftOf(user: User, uri: string): Draft {
  const name = prefixOf(user) + uri;
  const known = drafts.get(name);
  if (known) return known.draft;
  const empty: Draft = { text: "", replyTo: undefined, editing: undefined, kept: undefined };
  const draft = reactive<Draft>({ ...empty, ...recall(name, isDraft) });
  // It is kept for longer than the view is there that asks for it first.
  const scope = effectScope(true);
  scope.run(() => watch(draft, () => keep(name, draft)));
  drafts.set(name, { draft, scope });
  return draft;
}

function keep(name: string, draft: Draft): void {
  const { text, replyTo, editing } = draft;
  if (text === "" && replyTo === undefined && editing === undefined) kept.removeItem(name);
  else if (text.length <= LONGEST_KEPT) kept.setItem(name, JSON.stringify(draft));
}

/** Forgets all drafts that are in this page. What is kept beyond it is not touched any more. */
export function dropDrafts(): void {
  for (const { scope } of drafts.values()) scope.stop();
  drafts.clear();
}

/** Forgets all drafts of somebody who logs out. */
export function deleteDrafts(user: User): void {
  dropDrafts();
  for (const name of namesOf(prefixOf(user))) kept.removeItem(name);
}

/** After it was sent. */
export function clear(draft: Draft): void {
  draft.text = "";
  draft.replyTo = undefined;
}

export function beginEdit(draft: Draft, { id, message }: Message): void {
  const { text, replyTo } = draft;
  if (draft.editing === undefined) draft.kept = { text, replyTo };
  Object.assign(draft, { text: message, replyTo: undefined, editing: id });
}

/** Goes back to what one was writing before. */
export function endEdit(draft: Draft): void {
  const { text = "", replyTo } = draft.kept ?? {};
  Object.assign(draft, { text, replyTo, editing: undefined, kept: undefined });
}

function isDraft(value: unknown): value is Draft {
  const { editing, kept: before } = Object(value);
  return isWritten(value) && isId(editing) && (before === undefined || isWritten(before));
}

function isWritten(value: unknown): boolean {
  const { text, replyTo } = Object(value);
  return typeof text === "string" && isId(replyTo);
}

function isId(value: unknown): boolean {
  return value === undefined || Number.isSafeInteger(value);
}
