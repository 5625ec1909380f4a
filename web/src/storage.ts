/** What outlives the page: in `localStorage` or, where that is forbidden or full, for as long as the page is there. */

import type { OutboxStorage } from "@confab/client";

const memory = new Map<string, string>();

/** Does something with the storage, if there is one. Even to look at it may be forbidden. */
function attempt<Answer>(act: (storage: Storage) => Answer): Answer | undefined {
  try {
    return act(localStorage);
  } catch {
    return undefined;
  }
}

function lengthOfStorage(): number {
  return attempt(({ length }) => length) ?? 0;
}

export const kept: OutboxStorage = {
  get length() {
    return lengthOfStorage() + memory.size;
  },
  key(index) {
    const length = lengthOfStorage();
    return (index < length ? attempt((storage) => storage.key(index)) : [...memory.keys()][index - length]) ?? null;
  },
  getItem(name) {
    return memory.get(name) ?? attempt((storage) => storage.getItem(name)) ?? null;
  },
  setItem(name, value) {
    const isStored = attempt((storage) => {
      storage.setItem(name, value);
      return true;
    });
    if (isStored) memory.delete(name);
    else memory.set(name, value);
  },
  removeItem(name) {
    memory.delete(name);
    attempt((storage) => storage.removeItem(name));
  },
};

/** Whether all items whose names have this prefix outlive the page. */
export function isLasting(prefix: string): boolean {
  return ![...memory.keys()].some((name) => name.startsWith(prefix));
}

/** The names of the stored items with this prefix. */
export function namesOf(prefix: string): string[] {
  const names = Array.from({ length: kept.length }, (_, index) => kept.key(index) ?? "");
  return names.filter((name) => name.startsWith(prefix));
}

/** What is kept under a name, if it is what it should be. What is not is dropped. */
export function recall<Value>(name: string, isFit: (value: unknown) => value is Value): Value | undefined {
  const text = kept.getItem(name);
  if (text === null) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (isFit(value)) return value;
  } catch {
    // Cut off, or another program's.
  }
  kept.removeItem(name);
  return undefined;
}
