/** What can be done with a message. The chat's view provides it to the messages, however deep they are. */

import type { Message } from "@confab/client";
import type { InjectionKey } from "vue";

export interface MessageActions {
  /** Puts an emoji to a message, or takes it back. */
  toggle(message: Message, emoji: string): void;
  /** Lets one pick an emoji, beside the button that was pressed. */
  pick(message: Message, button: HTMLElement): void;
  reply(message: Message): void;
  edit(message: Message): void;
  /** Deletes a message, after asking. */
  remove(message: Message): void;
  /** Goes to a message. */
  show(id: number): void;
  /** Retries a refused message; `withoutReply` drops its reference to the message that it replies to. */
  retry(key: string, options?: { withoutReply: boolean }): void;
  discard(key: string): void;
}

export const actionsKey: InjectionKey<MessageActions> = Symbol("actions");
