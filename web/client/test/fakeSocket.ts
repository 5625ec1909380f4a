/** The client's end of a socket, and what the server knows about it. */

import type { Action, Socket, User } from "../src/index.js";
import type { Server } from "./server.js";

/** API Gateway closes a socket over a larger frame. */
const MAX_FRAME_BYTES = 32 * 1024;
/** A lone surrogate in JSON, which the server cannot parse. */
const LONE_SURROGATE = /\\ud[89a-f]/;
const PARSE_ERROR = { type: "error", action: null, status: 400, detail: "A frame must be a JSON object." };

export class FakeSocket implements Socket {
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  /** The actions that the client sent. */
  readonly actions: Action[] = [];
  /** The chats that are subscribed to. */
  readonly uris = new Set<string>();
  user: User | undefined;
  state: "opening" | "open" | "closed" = "opening";
  /** The server could not deliver a frame to it. */
  isDamaged = false;
  /** Neither end receives anything from the other any more, and neither has noticed. */
  isDead = false;

  constructor(
    readonly server: Server,
    readonly url: string,
    readonly protocols: readonly string[],
  ) {}

  send(text: string): void {
    if (this.state !== "open") throw new Error("This socket is not open.");
    const action = JSON.parse(text) as Action;
    this.actions.push(action);
    if (this.isDead || this.server.happens("loss")) return;
    if (new TextEncoder().encode(text).length > MAX_FRAME_BYTES)
      this.server.later(() => this.server.cut((one) => one === this));
    else if (LONE_SURROGATE.test(text)) this.server.later(() => this.receive(PARSE_ERROR));
    else this.server.later(() => this.server.onAction(this, action));
  }

  close(): void {
    this.state = "closed";
    if (!this.isDead) this.server.later(() => this.server.drop(this));
  }

  /** Delivers frames to the client, as one message. */
  receive(...frames: readonly object[]): void {
    if (this.state !== "open" || this.isDead) return;
    const data = frames.map((frame) => JSON.stringify(frame)).join("\n");
    this.onmessage?.call(this as unknown as WebSocket, { data } as MessageEvent);
  }

  /** The sent actions of one kind. */
  actionsOf<Kind extends Action["action"]>(kind: Kind): Extract<Action, { action: Kind }>[] {
    return this.actions.filter((action): action is Extract<Action, { action: Kind }> => action.action === kind);
  }
}
