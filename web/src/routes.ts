/** The routes of the app, and the links to them. A route is the part of the URL after `#`. */

import { encodePathSegment } from "@confab/client";

export type Route =
  | { readonly name: "login" | "register" | "forgot-password" | "resend-activation" | "chats" }
  | { readonly name: "reset-password" | "activate"; readonly uid: string; readonly token: string }
  | { readonly name: "chat" | "join"; readonly uri: string };

export function parseRoute(hash: string): Route {
  const [, first, second, third] = hash.split("/");
  if (first === "login" || first === "register" || first === "forgot-password" || first === "resend-activation") {
    return { name: first };
  }
  // The links in mails.
  if ((first === "reset-password" || first === "activate") && second && third) {
    return { name: first, uid: decode(second), token: decode(third) };
  }
  if (first === "chats" && second) return { name: "chat", uri: decode(second) };
  if (first === "join" && second) return { name: "join", uri: decode(second) };
  return { name: "chats" };
}

/** Whether a route is for users who are not logged in. */
export function isAccountRoute({ name }: Route): boolean {
  return name !== "chats" && name !== "chat" && name !== "join";
}

export function chatHref(uri: string): string {
  return `#/chats/${encodePathSegment(uri)}`;
}

export function joinHref(uri: string): string {
  return `#/join/${encodePathSegment(uri)}`;
}

/** The link with which others can join a chat. */
export function invitationLink(uri: string): string {
  return new URL(joinHref(uri), location.href).href;
}

/** The uri of the chat in an invitation link. A bare uri is accepted, too. */
export function parseInvitation(invitation: string): string {
  return decode(invitation.trim().replace(/\/+$/, "").split("/").at(-1) ?? "");
}

/** Text that is not validly encoded, such as `100%`, stays the same. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
