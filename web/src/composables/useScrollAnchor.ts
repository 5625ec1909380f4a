/**
 * Scroll anchoring for a list that grows at both ends: at the end it stays at the end, elsewhere the visible items stay
 * in place.
 */

import { onBeforeUpdate, onMounted, onUnmounted, onUpdated, type Ref, ref } from "vue";

/** The distances in pixels that count as the end and as the start. */
const NEAR_END = 48;
const NEAR_START = 300;
/**
 * Items that are inserted while the browser still scrolls would be scrolled past, so it has to rest for this time in
 * milliseconds.
 */
const SCROLL_REST = 100;

/** For the component whose `list` scrolls its `content`. `onNearStart` is called when it is scrolled near the start. */
export function useScrollAnchor(
  list: Readonly<Ref<HTMLElement | null>>,
  content: Readonly<Ref<HTMLElement | null>>,
  onNearStart: () => void,
) {
  const isAtEnd = ref(true);
  /** The last known scroll position and height. */
  let lastTop = 0;
  let lastHeight = 0;
  let restTimer = 0;
  let anchor: { readonly element: Element; readonly top: number } | undefined;

  function scrollToEnd(): void {
    isAtEnd.value = true;
    if (list.value) list.value.scrollTop = list.value.scrollHeight;
  }

  /** Stays at the end if the height changed. Otherwise, the user may be about to scroll away. */
  function stayAtEnd(): void {
    const height = (list.value?.clientHeight ?? 0) + (content.value?.offsetHeight ?? 0);
    if (height === lastHeight) return;
    lastHeight = height;
    scrollToEnd();
  }

  function onScroll(): void {
    const element = list.value;
    if (!element) return;
    const { scrollTop, scrollHeight, clientHeight } = element;
    isAtEnd.value = scrollHeight - scrollTop - clientHeight < (scrollTop < lastTop ? 1 : NEAR_END);
    lastTop = scrollTop;
    clearTimeout(restTimer);
    restTimer = window.setTimeout(() => element.scrollTop < NEAR_START && onNearStart(), SCROLL_REST);
  }

  onBeforeUpdate(() => {
    const start = list.value?.getBoundingClientRect().top ?? 0;
    const element = isAtEnd.value
      ? undefined
      : [...(content.value?.querySelectorAll("article") ?? [])].find(
          (one) => one.getBoundingClientRect().bottom > start,
        );
    anchor = element && { element, top: element.getBoundingClientRect().top };
  });

  onUpdated(() => {
    if (isAtEnd.value) stayAtEnd();
    else if (anchor?.element.isConnected && list.value) {
      list.value.scrollTop += anchor.element.getBoundingClientRect().top - anchor.top;
    }
  });

  // The size changes with the window, a virtual keyboard or a growing composer.
  const observer = new ResizeObserver(() => isAtEnd.value && stayAtEnd());
  onMounted(() => {
    for (const element of [list.value, content.value]) if (element) observer.observe(element);
    scrollToEnd();
  });
  onUnmounted(() => {
    observer.disconnect();
    clearTimeout(restTimer);
  });

  return { isAtEnd, scrollToEnd, onScroll };
}
