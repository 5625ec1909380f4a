/** How people and chats are called, and the colour by which one knows somebody. */

import type { User } from "@confab/client";

/** So many names are told of a chat; the others are counted. */
const TOLD = 4;

/** Who has no account any more has no name either. */
export function nameOf(user: User): string {
  return ownNameOf(user) || "Somebody who left";
}

function ownNameOf(user: User): string {
  return `${user.first_name} ${user.last_name}`.trim() || user.username;
}

export function othersOf(members: readonly User[], me: User): readonly User[] {
  return members.filter(({ id }) => id !== me.id);
}

/** The title of a chat: the names of the others. `members` may be a part of its `count` members. */
export function titleOf(members: readonly User[], count: number, me: User): string {
  const names = othersOf(members, me).map(nameOf);
  const others = Math.max(count - 1, names.length);
  if (others === 0) return "Just you";
  if (others <= TOLD) return names.join(", ");
  return `${names.slice(0, TOLD - 1).join(", ")} and ${others - TOLD + 1} more`;
}

export function initialsOf(user: User): string {
  const words = ownNameOf(user)
    .split(/[\s._-]+/)
    .filter(Boolean);
  const letters = words.length > 1 ? words.slice(0, 2).map((word) => [...word][0]) : [...(words[0] ?? "?")].slice(0, 2);
  return letters.join("").toUpperCase();
}

/** A hue from 0 to 360; the golden angle keeps neighbours apart. */
export function hueOf(user: User): number {
  return Math.round((user.id * 137.508) % 360);
}
