/** One chat as its view shows it: what the room and the outbox hold, again whenever one of them has changed. */

import type { RoomState, User } from "@confab/client";
import { computed, onScopeDispose, ref, shallowRef } from "vue";
import { othersOf, titleOf } from "./names";
import { explain } from "./problems";
import type { Session } from "./session";

/** At least so many messages are shown, if there are as many. */
const ENOUGH = 100;
/** So many messages are read at once to get to one that is far away. */
const FAR = 1000;

export type Conversation = ReturnType<typeof useConversation>;

export function useConversation({ client, user }: Session, uri: string) {
  const room = client.room(uri);
  const view = shallowRef(look());
  const isLoading = ref(false);
  let marked = 0;
  const problem = ref("");

  function look() {
    const { timeline } = room;
    const { members, messages } = timeline;
    return {
      state: room.state as RoomState,
      problem: room.problem,
      messages,
      members,
      owner: timeline.owner,
      title: members.length > 0 ? titleOf(members, user) : "",
      online: timeline.online && new Set(timeline.online),
      read: new Map(timeline.read),
      typing: othersOf(timeline.typing(Date.now()), user),
      hasOlder: timeline.first > 1 && timeline.first < Number.POSITIVE_INFINITY,
      // Until the room's news is taken in, what is sent is in both.
      pending: client.outbox.of(uri).filter(({ id }) => id === undefined || !timeline.message(id)),
    };
  }

  function show(): void {
    view.value = look();
    if (view.value.hasOlder && view.value.messages.length < ENOUGH && !problem.value) void older();
  }

  async function older(limit?: number): Promise<void> {
    if (isLoading.value) return;
    isLoading.value = true;
    try {
      await room.older(limit);
      problem.value = "";
    } catch (error) {
      problem.value = explain(error);
    } finally {
      isLoading.value = false;
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
    const last = view.value.messages.findLast((message) => message.user.id !== user.id);
    const id = Math.min(last?.id ?? 0, room.lastId);
    if (id <= marked) return;
    marked = id;
    room.markRead(id);
  }

  /** Who has read one's last message. */
  const readers = computed<{ readonly id: number; readonly users: readonly User[] } | undefined>(() => {
    const { messages, members, read } = view.value;
    const last = messages.findLast((message) => message.user.id === user.id && message.delete_date === null);
    const users = last && othersOf(members, user).filter(({ id }) => (read.get(id) ?? 0) >= last.id);
    return users && users.length > 0 ? { id: last.id, users } : undefined;
  });

  const endings = [
    room.on("change", show),
    room.on("state", show),
    client.outbox.on("change", (changed) => changed === uri && show()),
    client.connection.on("open", () => {
      problem.value = "";
      show();
    }),
  ];
  onScopeDispose(() => {
    for (const end of endings) end();
  });
  show();

  return { room, view, readers, isLoading, problem, older, reach, markRead };
}
