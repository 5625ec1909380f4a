/** Keeps the place in a list that grows at both ends: at the end one stays at the end, elsewhere what one looks at stays where it is. */

import { onBeforeUpdate, onMounted, onUnmounted, onUpdated, type Ref, ref } from "vue";

/** So many pixels away still counts as the end, or as the beginning. */
const NEAR_END = 48;
const NEAR_START = 300;
/** What is put in above while the browser still scrolls would be scrolled past, so it has to be at rest for so many milliseconds. */
const REST = 100;

/** For the component whose `list` scrolls its `content`; `reachStart` is called near the beginning. */
export function useScrolling(
  list: Readonly<Ref<HTMLElement | null>>,
  content: Readonly<Ref<HTMLElement | null>>,
  reachStart: () => void,
) {
  const atEnd = ref(true);
  /** Where it was, and how high its content was, when it was looked at last. */
  let top = 0;
  let height = 0;
  let timer = 0;
  let kept: { readonly element: Element; readonly top: number } | undefined;

  function toEnd(): void {
    atEnd.value = true;
    if (list.value) list.value.scrollTop = list.value.scrollHeight;
  }

  /** Stays at the end if something has become higher. Otherwise somebody may be about to scroll away from there. */
  function stay(): void {
    const now = (list.value?.clientHeight ?? 0) + (content.value?.offsetHeight ?? 0);
    if (now === height) return;
    height = now;
    toEnd();
  }

  function onScroll(): void {
    const element = list.value;
    if (!element) return;
    const { scrollTop, scrollHeight, clientHeight } = element;
    atEnd.value = scrollHeight - scrollTop - clientHeight < (scrollTop < top ? 1 : NEAR_END);
    top = scrollTop;
    clearTimeout(timer);
    timer = window.setTimeout(() => element.scrollTop < NEAR_START && reachStart(), REST);
  }

  onBeforeUpdate(() => {
    const start = list.value?.getBoundingClientRect().top ?? 0;
    const element = atEnd.value
      ? undefined
      : [...(content.value?.querySelectorAll("article") ?? [])].find(
          (one) => one.getBoundingClientRect().bottom > start,
        );
    kept = element && { element, top: element.getBoundingClientRect().top };
  });

  onUpdated(() => {
    if (atEnd.value) stay();
    else if (kept?.element.isConnected && list.value) {
      list.value.scrollTop += kept.element.getBoundingClientRect().top - kept.top;
    }
  });

  // The window, the keyboard of a phone or a growing composer take room away.
  const observer = new ResizeObserver(() => atEnd.value && stay());
  onMounted(() => {
    for (const element of [list.value, content.value]) if (element) observer.observe(element);
    toEnd();
  });
  onUnmounted(() => {
    observer.disconnect();
    clearTimeout(timer);
  });

  return { atEnd, toEnd, onScroll };
}
