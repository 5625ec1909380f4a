/** Rooms that the list of chats and the view of a chat share: whoever lets go of one last closes it, for a socket listens to 100 chats at most. */

import type { Client, Room } from "@confab/client";

const holders = new WeakMap<Room, number>();

export function hold(client: Client, uri: string, options?: { readonly after: number }): Room {
  const room = client.room(uri, options);
  holders.set(room, (holders.get(room) ?? 0) + 1);
  return room;
}

export function release(room: Room): void {
  const others = (holders.get(room) ?? 1) - 1;
  holders.set(room, others);
  if (others === 0) room.close();
}
