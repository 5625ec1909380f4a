/** One chat as its view shows it: what the room and the outbox hold, again whenever one of them has changed. */

import type { Entry, MessageEntry, OutboxMessage, RoomState, User } from "@confab/client";
import { computed, onScopeDispose, ref, shallowRef } from "vue";
import { othersOf, titleOf } from "../displayNames";
import { explain } from "../errorMessages";
import { hold, release } from "../sharedChats";
import type { Session } from "./useAuth";

/** At least so many messages are shown, if there are as many. */
const ENOUGH = 100;
/** So many messages are read at once to get to one that is far away. */
const FAR = 1000;
/** So many messages are told at once, and each for so many milliseconds. */
const TOLD = 5;
const TELLING = 10_000;

export type Conversation = ReturnType<typeof useConversation>;

interface Readers {
  readonly id: number;
  readonly users: readonly User[];
}

export function useConversation({ client, user }: Session, uri: string) {
  let room = hold(client, uri);
  let letGo = listen();
  let pending: readonly OutboxMessage[] = [];
  const view = shallowRef(look());
  const isLoading = ref(false);
  let reading: Promise<void> | undefined;
  /** Up to where one has seen it, and up to where that was said. */
  let seen = 0;
  let marked = 0;
  const problem = ref("");
  /** What others said just now. */
  const news = shallowRef<readonly MessageEntry[]>([]);

  function listen(): () => void {
    const held = room;
    const endings = [held.on("change", show), held.on("state", show), held.on("entry", tell)];
    return () => {
      for (const end of endings) end();
      release(held);
    };
  }

  function look() {
    const { timeline } = room;
    const { members, messages } = timeline;
    return {
      state: room.state as RoomState,
      problem: room.problem,
      messages,
      members,
      owner: timeline.owner,
      memberCount: timeline.memberCount,
      hasMoreMembers: timeline.membersNext !== null,
      title: members.length > 0 ? titleOf(members, timeline.memberCount, user) : "",
      online: timeline.online && new Set(timeline.online),
      read: new Map(timeline.read),
      typing: othersOf(timeline.typing(performance.now()), user),
      hasOlder: timeline.first > 1 && timeline.first < Number.POSITIVE_INFINITY,
      pending: lookForPending(),
    };
  }

  /** What is not shown by the room yet: the same array until that changes, so that nothing is rendered for nothing. */
  function lookForPending(): readonly OutboxMessage[] {
    // Until the room's news is taken in, what is sent is in both.
    const now = client.outbox.of(uri).filter(({ id }) => id === undefined || !room.timeline.message(id));
    if (!isSame(now, pending)) pending = now;
    return pending;
  }

  function show(): void {
    view.value = look();
    mark();
    if (view.value.hasOlder && view.value.messages.length < ENOUGH && !problem.value) void older();
  }

  /** Reads older messages. Whoever asks meanwhile waits for the same. */
  function older(limit?: number): Promise<void> {
    reading ??= readOlder(limit);
    return reading;
  }

  async function readOlder(limit?: number): Promise<void> {
    isLoading.value = true;
    try {
      await room.older(limit);
      problem.value = "";
    } catch (error) {
      problem.value = explain(error);
    } finally {
      isLoading.value = false;
      reading = undefined;
    }
    show();
  }

  /** Reads the history back to a message. */
  async function reach(id: number): Promise<void> {
    while (room.timeline.first > id && view.value.hasOlder) {
      await older(FAR);
      if (problem.value) return;
    }
  }

  /** Says that one has read what the others said. */
  function markRead(): void {
    seen = view.value.messages.findLast((message) => message.user.id !== user.id)?.id ?? 0;
    mark();
  }

  /** The history may be ahead of the room, which comes after it. */
  function mark(): void {
    const id = Math.min(seen, room.lastId);
    if (id <= marked) return;
    marked = id;
    room.markRead(id);
  }

  function tell(entry: Entry): void {
    if (entry.type !== "message" || entry.user.id === user.id || entry.delete_date) return;
    news.value = [...news.value, entry].slice(-TOLD);
    setTimeout(() => {
      news.value = news.value.filter((one) => one !== entry);
    }, TELLING);
  }

  /** A room that one had to leave does not come back, but one may be let into the chat again. */
  function comeBack(): void {
    if (room.state !== "left") return;
    letGo();
    room = hold(client, uri);
    letGo = listen();
    seen = marked = 0;
    show();
  }

  /** Who has read one's last message: the same object until that changes. */
  const readers = computed<Readers | undefined>((before) => {
    const { messages, members, read } = view.value;
    const last = messages.findLast((message) => message.user.id === user.id && message.delete_date === null);
    const users = last && othersOf(members, user).filter(({ id }) => (read.get(id) ?? 0) >= last.id);
    if (!users || users.length === 0) return undefined;
    return before?.id === last.id && isSame(before.users, users) ? before : { id: last.id, users };
  });

  const endings = [
    client.outbox.on("change", (changed) => changed === uri && show()),
    client.connection.on("frame", (frame) => frame.type === "added" && frame.uri === uri && comeBack()),
    client.connection.on("open", () => {
      problem.value = "";
      comeBack();
      show();
    }),
  ];
  onScopeDispose(() => {
    for (const end of endings) end();
    letGo();
  });
  show();

  return {
    view,
    readers,
    news,
    isLoading,
    problem,
    older,
    reach,
    markRead,
    type: () => room.typing(),
    moreMembers: () => room.moreMembers(),
  };
}

function isSame<One>(some: readonly One[], others: readonly One[]): boolean {
  return some.length === others.length && some.every((one, index) => one === others[index]);
}
