/** The draft of each chat. It is stored until it is sent or the user logs out, and survives a reload. */

import type { Message, User } from "@confab/client";
import { type EffectScope, effectScope, reactive, watch } from "vue";
import { keysWithPrefix, readItem, storage } from "../storage";

/** Longer texts (in UTF-16 units) are not stored: unsent messages need the space. */
const MAX_STORED_LENGTH = 20_000;

interface DraftContent {
  text: string;
  /** The id of the message that this replies to. */
  replyTo: number | undefined;
}

export interface Draft extends DraftContent {
  /** The id of the message that is being edited. */
  editing: number | undefined;
  /** The draft before editing began. */
  beforeEdit: DraftContent | undefined;
}

/** A draft as it is stored since the first version. */
interface StoredDraft extends DraftContent {
  editing?: number;
  kept?: DraftContent;
}

const EMPTY: StoredDraft = { text: "", replyTo: undefined };

/** By storage key. */
const drafts = new Map<string, { readonly draft: Draft; readonly scope: EffectScope }>();

function keyPrefix(user: User): string {
  return `confab.draft.${user.id}.`;
}

/** The draft of a chat. Each user has separate drafts. */
export function useDraft(user: User, uri: string): Draft {
  const key = keyPrefix(user) + uri;
  const known = drafts.get(key);
  if (known) return known.draft;
  const { text, replyTo, editing, kept } = readItem(key, isStoredDraft) ?? EMPTY;
  const draft = reactive<Draft>({ text, replyTo, editing, beforeEdit: kept });
  // A detached scope: storing must not end with the first component that uses the draft.
  const scope = effectScope(true);
  scope.run(() => watch(draft, () => store(key, draft)));
  drafts.set(key, { draft, scope });
  return draft;
}

function store(key: string, { text, replyTo, editing, beforeEdit }: Draft): void {
  if (text === "" && replyTo === undefined && editing === undefined) storage.removeItem(key);
  else if (text.length <= MAX_STORED_LENGTH) {
    storage.setItem(key, JSON.stringify({ text, replyTo, editing, kept: beforeEdit }));
  }
}

/** Removes all drafts from memory, not from the storage. */
export function unloadDrafts(): void {
  for (const { scope } of drafts.values()) scope.stop();
  drafts.clear();
}

/** Deletes all drafts of a user. */
export function deleteDrafts(user: User): void {
  unloadDrafts();
  for (const key of keysWithPrefix(keyPrefix(user))) storage.removeItem(key);
}

export function setText(draft: Draft, text: string): void {
  draft.text = text;
}

/** Empties the draft after it was sent. */
export function clearDraft(draft: Draft): void {
  Object.assign(draft, { text: "", replyTo: undefined });
}

export function beginReply(draft: Draft, { id }: Message): void {
  if (draft.editing !== undefined) endEdit(draft);
  draft.replyTo = id;
}

export function endReply(draft: Draft): void {
  draft.replyTo = undefined;
}

export function beginEdit(draft: Draft, { id, message }: Message): void {
  const { text, replyTo } = draft;
  if (draft.editing === undefined) draft.beforeEdit = { text, replyTo };
  Object.assign(draft, { text: message, replyTo: undefined, editing: id });
}

/** Restores the draft before the edit. */
export function endEdit(draft: Draft): void {
  const { text = "", replyTo } = draft.beforeEdit ?? {};
  Object.assign(draft, { text, replyTo, editing: undefined, beforeEdit: undefined });
}

function isStoredDraft(value: unknown): value is StoredDraft {
  const { editing, kept } = Object(value);
  return isContent(value) && isId(editing) && (kept === undefined || isContent(kept));
}

function isContent(value: unknown): boolean {
  const { text, replyTo } = Object(value);
  return typeof text === "string" && isId(replyTo);
}

function isId(value: unknown): boolean {
  return value === undefined || Number.isSafeInteger(value);
}
