/** Formats dates in the browser's language and time zone. */

import { ref } from "vue";

const DAY = 24 * 3600_000;
/** The maximum time, in milliseconds, until a change of the system clock is noticed. */
const CLOCK_CHECK_INTERVAL = 60_000;
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekdayFormat = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const dateFormat = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

type DateInput = string | number;

/** The start of today. Relative dates are formatted again when it changes. */
const today = ref(0);
let timer: ReturnType<typeof setTimeout> | undefined;

function updateToday(): void {
  today.value = startOfDay(Date.now());
  clearTimeout(timer);
  timer = setTimeout(updateToday, Math.min(CLOCK_CHECK_INTERVAL, new Date().setHours(24, 0, 0, 0) - Date.now()));
}

updateToday();
// Timers do not run while the computer sleeps.
document.addEventListener("visibilitychange", updateToday);

export function formatTime(date: DateInput): string {
  return timeFormat.format(new Date(date));
}

export function formatFullDate(date: DateInput): string {
  return fullFormat.format(new Date(date));
}

export function formatDay(date: DateInput): string {
  const age = ageInDays(date);
  if (age === 0) return "Today";
  if (age === 1) return "Yesterday";
  return `${dayFormat.format(new Date(date))}${age > 300 ? ` ${new Date(date).getFullYear()}` : ""}`;
}

/** The time for today, the weekday for the last week, or the date. */
export function formatShort(date: DateInput): string {
  const age = ageInDays(date);
  if (age === 0) return formatTime(date);
  return (age < 7 ? weekdayFormat : dateFormat).format(new Date(date));
}

export function isSameDay(one: DateInput, other: DateInput): boolean {
  return new Date(one).toDateString() === new Date(other).toDateString();
}

/** The number of midnights since then. Rounded, because of days with a daylight saving time change. */
function ageInDays(date: DateInput): number {
  return Math.round((today.value - startOfDay(date)) / DAY);
}

function startOfDay(date: DateInput): number {
  return new Date(date).setHours(0, 0, 0, 0);
}
