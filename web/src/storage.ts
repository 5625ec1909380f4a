/** Storage that outlives the page: `localStorage`, or memory where that is forbidden or full. */

import type { OutboxStorage } from "@confab/client";

const memory = new Map<string, string>();

/** Accesses `localStorage`, which throws where it is forbidden. */
function tryLocalStorage<Result>(access: (storage: Storage) => Result): Result | undefined {
  try {
    return access(localStorage);
  } catch {
    return undefined;
  }
}

function localStorageLength(): number {
  return tryLocalStorage(({ length }) => length) ?? 0;
}

export const storage: OutboxStorage = {
  get length() {
    return localStorageLength() + memory.size;
  },
  key(index) {
    const length = localStorageLength();
    if (index < length) return tryLocalStorage((local) => local.key(index)) ?? null;
    return [...memory.keys()][index - length] ?? null;
  },
  getItem(name) {
    return memory.get(name) ?? tryLocalStorage((local) => local.getItem(name)) ?? null;
  },
  setItem(name, value) {
    const isStored = tryLocalStorage((local) => {
      local.setItem(name, value);
      return true;
    });
    if (isStored) memory.delete(name);
    else memory.set(name, value);
  },
  removeItem(name) {
    memory.delete(name);
    tryLocalStorage((local) => local.removeItem(name));
  },
};

/** Whether all items with this prefix outlive the page. */
export function isPersistent(prefix: string): boolean {
  return ![...memory.keys()].some((name) => name.startsWith(prefix));
}

/** The keys of the items with this prefix. */
export function keysWithPrefix(prefix: string): string[] {
  const names = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "");
  return names.filter((name) => name.startsWith(prefix));
}

/** The value of a JSON item. An item that is not valid is removed. */
export function readItem<Value>(name: string, isValid: (value: unknown) => value is Value): Value | undefined {
  const text = storage.getItem(name);
  if (text === null) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (isValid(value)) return value;
  } catch {
    // Truncated, or written by another program.
  }
  storage.removeItem(name);
  return undefined;
}
