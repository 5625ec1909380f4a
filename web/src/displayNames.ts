/** The displayed names of users and chats, and the colour of a user. */

import type { User } from "@confab/client";

/** The number of names in the title of a chat; further members are counted. */
const MAX_NAMES = 4;

/** A user whose account was deleted has no name. */
export function displayName(user: User): string {
  return fullName(user) || "Deleted user";
}

function fullName(user: User): string {
  return `${user.first_name} ${user.last_name}`.trim() || user.username;
}

export function otherUsers(users: readonly User[], me: User): readonly User[] {
  return users.filter(({ id }) => id !== me.id);
}

/** The title of a chat: the names of the others. `members` may be a part of its `count` members. */
export function chatTitle(members: readonly User[], count: number, me: User): string {
  const names = otherUsers(members, me).map(displayName);
  const others = Math.max(count - 1, names.length);
  if (others === 0) return "Just you";
  if (others <= MAX_NAMES) return names.join(", ");
  return `${names.slice(0, MAX_NAMES - 1).join(", ")} and ${others - MAX_NAMES + 1} more`;
}

export function initials(user: User): string {
  const words = fullName(user)
    .split(/[\s._-]+/)
    .filter(Boolean);
  const letters = words.length > 1 ? words.slice(0, 2).map((word) => [...word][0]) : [...(words[0] ?? "?")].slice(0, 2);
  return letters.join("").toUpperCase();
}

/** A hue from 0 to 360. Multiples of the golden angle give consecutive ids distinct colours. */
export function userHue(user: User): number {
  return Math.round((user.id * 137.508) % 360);
}
