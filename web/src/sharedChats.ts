/**
 * Chats that several components use. The last one to release a chat closes it, since a socket can subscribe to 100
 * chats only.
 */

import type { Chat, Client } from "@confab/client";

const users = new WeakMap<Chat, number>();

export interface SharedChat {
  readonly chat: Chat;
  /** Removes the listeners, and closes the chat if nothing else uses it. */
  release(): void;
}

/** Subscribes to a chat. `listen` adds listeners, and returns the functions that remove them. */
export function acquireChat(
  client: Client,
  uri: string,
  listen: (chat: Chat) => readonly (() => void)[],
  options?: { readonly after: number },
): SharedChat {
  const chat = client.chat(uri, options);
  users.set(chat, (users.get(chat) ?? 0) + 1);
  const removeListeners = listen(chat);
  return {
    chat,
    release() {
      for (const removeListener of removeListeners) removeListener();
      const remaining = (users.get(chat) ?? 1) - 1;
      users.set(chat, remaining);
      if (remaining === 0) chat.close();
    },
  };
}
