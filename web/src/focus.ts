/** Whether the page may move the focus, after something has taken a while: only where the person has not put it elsewhere meanwhile. */

/** Nothing has the focus, or the heading on which the page itself puts it when a view opens. */
export function isFocusFree(): boolean {
  const { activeElement } = document;
  return !activeElement || activeElement === document.body || activeElement.tagName === "H1";
}

/** Remembers what has the focus; the function that is returned tells whether it is still there, or free. */
export function rememberFocus(): () => boolean {
  const { activeElement } = document;
  return () => document.activeElement === activeElement || isFocusFree();
}
