/** New messages for screen readers: each is announced once, and removed after some time. */

import type { Entry, MessageEntry, User } from "@confab/client";
import { shallowRef } from "vue";

const MAX_ANNOUNCEMENTS = 5;
/** In milliseconds. */
const ANNOUNCEMENT_DURATION = 10_000;

export function useAnnouncements(me: User) {
  const announcements = shallowRef<readonly MessageEntry[]>([]);

  /** Announces a new message of another user. */
  function announce(entry: Entry): void {
    if (entry.type !== "message" || entry.user.id === me.id || entry.delete_date) return;
    announcements.value = [...announcements.value, entry].slice(-MAX_ANNOUNCEMENTS);
    setTimeout(() => {
      announcements.value = announcements.value.filter((one) => one !== entry);
    }, ANNOUNCEMENT_DURATION);
  }

  return { announcements, announce };
}
