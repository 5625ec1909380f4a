/** The current route. */

import { type ShallowRef, shallowRef } from "vue";
import { parseRoute, type Route } from "../routes";

const route = shallowRef(parseRoute(location.hash));

addEventListener("hashchange", () => {
  route.value = parseRoute(location.hash);
});

export function useRoute(): Readonly<ShallowRef<Route>> {
  return route;
}

/** Navigates to a link; with `replace`, without a new entry in the browser's history. */
export function navigate(href: string, { replace = false } = {}): void {
  if (replace) location.replace(href);
  else location.hash = href;
}
