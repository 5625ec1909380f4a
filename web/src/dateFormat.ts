/** Dates as people say them, in the browser's language and time zone. */

import { ref } from "vue";

const DAY = 24 * 3600_000;
/** The longest time, in milliseconds, until a change of the system clock is noticed. */
const NOTICED = 60_000;
const time = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

type When = string | number;

/** When today began. What was said relative to it is said anew when that changes. */
const today = ref(0);
let timer: ReturnType<typeof setTimeout> | undefined;

function renew(): void {
  today.value = midnight(Date.now());
  clearTimeout(timer);
  timer = setTimeout(renew, Math.min(NOTICED, new Date().setHours(24, 0, 0, 0) - Date.now()));
}

renew();
// While the computer sleeps, so do timers.
document.addEventListener("visibilitychange", renew);

export function timeOf(when: When): string {
  return time.format(new Date(when));
}

export function fullDateOf(when: When): string {
  return full.format(new Date(when));
}

export function dayOf(when: When): string {
  const ago = daysAgo(when);
  if (ago === 0) return "Today";
  if (ago === 1) return "Yesterday";
  return `${day.format(new Date(when))}${ago > 300 ? ` ${new Date(when).getFullYear()}` : ""}`;
}

/** The time, the weekday or the date, whichever tells most. */
export function brief(when: When): string {
  const ago = daysAgo(when);
  if (ago === 0) return timeOf(when);
  return (ago < 7 ? weekday : date).format(new Date(when));
}

export function isSameDay(one: When, other: When): boolean {
  return new Date(one).toDateString() === new Date(other).toDateString();
}

/** Midnights between then and now. Rounded, since days with a change of the clock are longer or shorter. */
function daysAgo(when: When): number {
  return Math.round((today.value - midnight(when)) / DAY);
}

/** When the day began. */
function midnight(when: When): number {
  return new Date(when).setHours(0, 0, 0, 0);
}
