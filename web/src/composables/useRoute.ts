/** Which view is shown, as the part of the address behind `#` says. */

import { encoded } from "@confab/client";
import { shallowRef } from "vue";

export type Route =
  | { readonly name: "login" | "register" | "chats" }
  | { readonly name: "chat" | "join"; readonly uri: string };

function parse(hash: string): Route {
  const [, first, second] = hash.split("/");
  if (first === "login" || first === "register") return { name: first };
  if (first === "chats" && second) return { name: "chat", uri: decoded(second) };
  if (first === "join" && second) return { name: "join", uri: decoded(second) };
  return { name: "chats" };
}

/** The text that was encoded. What never was, such as `100%`, stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = shallowRef<Route>(parse(location.hash));

addEventListener("hashchange", () => {
  route.value = parse(location.hash);
});

export function chatAddress(uri: string): string {
  return `#/chats/${encoded(uri)}`;
}

/** The address at which a user joins a chat. */
export function joinAddress(uri: string): string {
  return `#/join/${encoded(uri)}`;
}

/** What is sent to others, so that they can join. */
export function invitation(uri: string): string {
  return new URL(joinAddress(uri), location.href).href;
}

/** The uri in an invitation, or a bare one. */
export function uriOf(invitation: string): string {
  return decoded(invitation.trim().replace(/\/+$/, "").split("/").at(-1) ?? "");
}

/** Goes somewhere; with `replace`, the way back leads past here. */
export function go(address: string, { replace = false } = {}): void {
  if (replace) location.replace(address);
  else location.hash = address;
}
