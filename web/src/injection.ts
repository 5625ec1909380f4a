import { type InjectionKey, inject } from "vue";

/** Injects a value, and throws if none is provided. */
export function injectRequired<Value>(key: InjectionKey<Value>): Value {
  const value = inject(key);
  if (value === undefined) throw new Error(`No value is provided for ${key.description}.`);
  return value;
}
