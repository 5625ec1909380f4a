/** The draft of each chat. It is stored until it is sent or the user logs out, and survives a reload. */

import { MESSAGE_CHARACTERS, type Message, type User } from "@confab/client";
import { type EffectScope, effectScope, reactive, watch } from "vue";
import { kept, namesOf, recall } from "../storage";

/** The limit of the server, in Unicode code points. */
export const LENGTH = MESSAGE_CHARACTERS;

/** Longer texts (in UTF-16 units) are not stored: unsent messages need the space. */
const LONGEST_KEPT = 20_000;

export interface Draft {
  text: string;
  /** The id of the message that this replies to. */
  replyTo: number | undefined;
  /** The id of the message that is being edited. */
  editing: number | undefined;
  /** What one was writing before one began to edit. */
  kept: Pick<Draft, "text" | "replyTo"> | undefined;
}

/** By storage key. */
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
  // A detached scope: storing must not end with the component that asks first.
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

/** Removes all drafts from memory, not from the storage. */
export function dropDrafts(): void {
  for (const { scope } of drafts.values()) scope.stop();
  drafts.clear();
}

/** Deletes all drafts of a user who logs out. */
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
