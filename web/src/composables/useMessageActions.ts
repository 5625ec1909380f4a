/** What a user can do with a message. The chat's view provides the actions to the components of its messages. */

import type { Message } from "@confab/client";
import { type InjectionKey, provide } from "vue";
import { injectRequired } from "../injection";

export interface MessageActions {
  /** Adds the user's reaction, or removes it. */
  toggleReaction(message: Message, emoji: string): void;
  /** Opens the reaction picker beside the button that was pressed. */
  openReactionPicker(message: Message, button: HTMLElement): void;
  reply(message: Message): void;
  edit(message: Message): void;
  /** Deletes a message after confirmation. */
  remove(message: Message): void;
  /** Scrolls to a message. */
  show(id: number): void;
  /** Retries a refused message; `withoutReply` drops its reference to the message that it replies to. */
  retry(key: string, options?: { withoutReply: boolean }): void;
  discard(key: string): void;
}

const messageActionsKey: InjectionKey<MessageActions> = Symbol("message actions");

export function provideMessageActions(actions: MessageActions): void {
  provide(messageActionsKey, actions);
}

export function useMessageActions(): MessageActions {
  return injectRequired(messageActionsKey);
}
