/** The keyboard focus. After a slow operation, the page may move it only if the user has not moved it meanwhile. */

import { nextTick, type Ref, watch } from "vue";

/** Whether nothing has the focus, or only the heading that `useViewFocus` focused. */
export function isFocusFree(): boolean {
  const { activeElement } = document;
  return !activeElement || activeElement === document.body || activeElement.tagName === "H1";
}

/** Remembers the focused element. The returned function tells whether it still has the focus, or the focus is free. */
export function rememberFocus(): () => boolean {
  const { activeElement } = document;
  return () => document.activeElement === activeElement || isFocusFree();
}

/**
 * When another view is shown, focuses its first element that matches the selector, unless the view has focused an
 * element itself.
 */
export function useViewFocus(view: Readonly<Ref<string>>, selector: () => string): void {
  watch(view, async () => {
    await nextTick();
    if (document.querySelector("main")?.contains(document.activeElement)) return;
    const target = document.querySelector<HTMLElement>(selector());
    if (target?.tagName === "H1") target.tabIndex = -1;
    target?.focus();
  });
}
