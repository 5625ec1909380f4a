/** After a slow operation, the page may move the focus only if the user has not moved it meanwhile. */

/** Nothing has the focus, or only the heading that the page itself focuses when a view opens. */
export function isFocusFree(): boolean {
  const { activeElement } = document;
  return !activeElement || activeElement === document.body || activeElement.tagName === "H1";
}

/** Remembers the focused element. The returned function tells whether it still has the focus, or the focus is free. */
export function rememberFocus(): () => boolean {
  const { activeElement } = document;
  return () => document.activeElement === activeElement || isFocusFree();
}
