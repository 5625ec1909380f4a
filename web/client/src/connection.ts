/**
 * The connection: opens a socket, detects when it is dead, reconnects, and replaces it before the gateway closes it.
 */

import { Backoff } from "./backoff.js";
import { Emitter } from "./emitter.js";
import type { Environment, Socket } from "./environment.js";
import { parseFrame } from "./frame.js";
import { Subscriptions } from "./subscriptions.js";
import { fitsFrame, toJson } from "./text.js";
import type { Action, ErrorFrame, Frame, Subscription } from "./wire.js";

/** All in milliseconds. The gateway closes a socket that is idle for 10 minutes, and any socket after 2 hours. */
const OPEN_TIMEOUT = 15_000;
const PING_INTERVAL = 9 * 60_000;
const PONG_TIMEOUT = 10_000;
const MAX_AGE = 110 * 60_000;
/** Jitter of the maximum age, so that sockets that were opened together are not replaced together. */
const MAX_AGE_JITTER = 10 * 60_000;
/** A socket that was open for this long resets the backoff. */
const STABLE_AFTER = 10_000;
/** A replaced socket stays open until the new one has caught up, but no longer than this. */
const RETIRE_TIMEOUT = 30_000;
/** An action without a response is repeated after this time. */
export const RESPONSE_TIMEOUT = 10_000;

const NETWORK_EVENTS = ["online", "offline", "visibilitychange"];

/**
 * `connecting` and `waiting` (for the next attempt): there is no open socket. `expired`: the token was rejected, so the
 * user has to log in again. `closed`: not opened yet, or closed by its owner.
 */
export type ConnectionState = "connecting" | "open" | "waiting" | "expired" | "closed";

interface ConnectionEventMap {
  state: ConnectionState;
  /** A socket was opened, the first one or a replacement: subscriptions have to be made again. */
  open: undefined;
  /** The `subscribe` of these chats failed some time ago: they have to subscribe again, in one frame. */
  retry: ReadonlySet<string>;
  frame: Frame;
}

/** The options of a {@link Connection}. */
export interface ConnectionOptions {
  readonly url: string;
  readonly token: string;
  /**
   * Whether the server rejects the token. Called when a socket could not be opened, because browsers do not say why.
   */
  readonly isUnauthorized: () => Promise<boolean>;
  readonly environment: Environment;
}

/** A socket and its state. */
interface SocketState {
  readonly socket: Socket;
  /** When it was opened, and when the last frame arrived, on the `elapsed` clock. */
  openedAt: number;
  lastFrameAt: number;
  /** Whether no frame has arrived since the last ping. */
  isAwaitingPong: boolean;
  readonly subscriptions: Subscriptions;
  cancelTimer: () => void;
}

/** A connection to the server that reconnects automatically. */
export class Connection extends Emitter<ConnectionEventMap> {
  #state: ConnectionState = "closed";
  #opening: SocketState | undefined;
  #current: SocketState | undefined;
  /** The replaced socket. Nothing is sent through it, but its frames are still received. */
  #retiring: SocketState | undefined;
  #cancelReconnect = () => {};
  #cancelRetirement = () => {};
  readonly #options: ConnectionOptions;
  readonly #environment: Environment;
  readonly #backoff: Backoff;

  constructor(options: ConnectionOptions) {
    super();
    this.#options = options;
    this.#environment = options.environment;
    this.#backoff = new Backoff(options.environment);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Connects, and reconnects until it is closed. */
  open(): void {
    if (this.#state !== "closed") return;
    for (const type of NETWORK_EVENTS) this.#environment.window?.addEventListener(type, this.#onNetworkEvent);
    this.#connect();
  }

  /** Closes the connection permanently. */
  close(): void {
    this.#end("closed");
  }

  /** Closes the connection permanently because the token is no longer valid. */
  expire(): void {
    if (this.#state !== "closed") this.#end("expired");
  }

  /**
   * Sends an action and returns true if the socket is open. Nothing is queued. The gateway closes the socket over a
   * frame that is too large, so such an action is not sent; a local error frame with status 413 is emitted instead.
   */
  send(action: Action): boolean {
    const state = this.#current;
    if (!state) return false;
    const text = toJson(action);
    if (!fitsFrame(text)) {
      queueMicrotask(() => this.emit("frame", payloadTooLarge(action)));
      return true;
    }
    state.socket.send(text);
    return true;
  }

  /**
   * Subscribes to a chat and returns true if the socket is open. The chats of one moment, such as all of them after a
   * reconnect, share a frame.
   */
  subscribe(subscription: Subscription): boolean {
    const state = this.#current;
    if (!state) return false;
    state.subscriptions.add(subscription);
    return true;
  }

  /** Unsubscribes from a chat. A `subscribe` that is not sent yet is dropped. */
  unsubscribe(uri: string): void {
    this.#current?.subscriptions.remove(uri);
    this.#retireIfCaughtUp();
  }

  /**
   * Whether a frame has arrived on the current socket since this moment of the `elapsed` clock. If not, pings the
   * socket.
   */
  hasReceivedSince(moment: number): boolean {
    const state = this.#current;
    if (!state || state.lastFrameAt > moment) return state !== undefined;
    if (!state.isAwaitingPong) this.#ping(state);
    return false;
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.emit("state", state);
  }

  #connect(): void {
    this.#cancelReconnect();
    if (!this.#current) this.#setState("connecting");
    const { url, token } = this.#options;
    const socket = new this.#environment.WebSocket(url, ["confab", `token.${token}`]);
    const state: SocketState = {
      socket,
      openedAt: 0,
      lastFrameAt: 0,
      isAwaitingPong: false,
      subscriptions: new Subscriptions({
        environment: this.#environment,
        send: (action) => this.send(action),
        retry: (uris) => this.emit("retry", uris),
      }),
      cancelTimer: this.#environment.after(OPEN_TIMEOUT, () => this.#onLost(state)),
    };
    this.#opening = state;
    socket.onopen = () => this.#onOpen(state);
    socket.onmessage = (event) => this.#onMessage(state, event.data);
    // A `close` event follows an `error` event, but not with Node 20's own WebSocket.
    socket.onerror = socket.onclose = () => this.#onLost(state);
  }

  #onOpen(state: SocketState): void {
    this.#opening = undefined;
    this.#finishRetirement();
    this.#retiring = this.#current;
    // All chats subscribe again, on the new socket.
    this.#retiring?.subscriptions.stop();
    this.#current = state;
    state.openedAt = state.lastFrameAt = this.#environment.elapsed();
    this.#schedulePing(state, PING_INTERVAL);
    const maxAge = MAX_AGE - this.#environment.random() * MAX_AGE_JITTER;
    this.#cancelReconnect = this.#environment.after(maxAge, () => this.#connect());
    this.#setState("open");
    this.emit("open", undefined);
    if (this.#retiring) {
      if (!state.subscriptions.isPending) this.#finishRetirement();
      else this.#cancelRetirement = this.#environment.after(RETIRE_TIMEOUT, () => this.#finishRetirement());
    }
  }

  /** Closes the replaced socket once the new one has caught up. */
  #retireIfCaughtUp(): void {
    if (this.#current && !this.#current.subscriptions.isPending) this.#finishRetirement();
  }

  #finishRetirement(): void {
    this.#cancelRetirement();
    if (this.#retiring) this.#discard(this.#retiring);
    this.#retiring = undefined;
  }

  #onMessage(state: SocketState, data: unknown): void {
    state.lastFrameAt = this.#environment.elapsed();
    state.isAwaitingPong = false;
    for (const line of String(data).split("\n")) {
      const frame = parseFrame(line);
      if (frame) this.#onFrame(state, frame);
    }
  }

  #onFrame(state: SocketState, frame: Frame): void {
    if (frame.type === "subscriptions") {
      state.subscriptions.onSuccess();
      for (const response of frame.chats) this.#onFrame(state, response);
      return;
    }
    // 401: the server no longer knows this socket or its token. Opening another one shows which.
    if (frame.type === "error" && frame.status === 401) {
      this.#onLost(state);
      return;
    }
    if (frame.type === "error" && frame.action === "subscribe" && frame.uri === undefined) {
      for (const uri of state.subscriptions.onError(frame)) this.#onFrame(state, { ...frame, uri });
      return;
    }
    const action = frame.type === "error" ? frame.action : frame.type;
    if ((action === "subscribed" || action === "subscribe") && "uri" in frame) {
      state.subscriptions.onResponse(frame.uri ?? "");
    }
    this.emit("frame", frame);
    if (state === this.#current) this.#retireIfCaughtUp();
  }

  /**
   * Schedules a ping for when the socket has been idle for the interval, to keep it open and to detect a dead socket.
   */
  #schedulePing(state: SocketState, delay: number): void {
    state.cancelTimer();
    state.cancelTimer = this.#environment.after(delay, () => {
      const remaining = PING_INTERVAL - (this.#environment.elapsed() - state.lastFrameAt);
      // Timers cannot measure fractions of a millisecond.
      if (remaining >= 1) this.#schedulePing(state, remaining);
      else this.#ping(state);
    });
  }

  #ping(state: SocketState): void {
    state.cancelTimer();
    state.isAwaitingPong = true;
    state.socket.send(toJson({ action: "ping" } satisfies Action));
    // The interval counts from the pong, since the gateway allows little more.
    state.cancelTimer = this.#environment.after(PONG_TIMEOUT, () =>
      state.isAwaitingPong ? this.#onLost(state) : this.#schedulePing(state, PING_INTERVAL - PONG_TIMEOUT),
    );
  }

  /**
   * The network changed, or the page became visible, perhaps after the computer slept: checks the socket or reconnects
   * at once.
   */
  readonly #onNetworkEvent = (event: Event): void => {
    if (this.#current) {
      this.#ping(this.#current);
    } else if (this.#state === "waiting" && event.type !== "offline") {
      this.#backoff.reset();
      this.#connect();
    }
  };

  #discard(state: SocketState): void {
    state.cancelTimer();
    state.subscriptions.stop();
    // A dead socket may take minutes to report that it is closed, so its handlers are removed.
    state.socket.onopen = state.socket.onmessage = state.socket.onclose = null;
    // The package `ws` throws an error that has no handler.
    state.socket.onerror = () => {};
    state.socket.close();
  }

  #onLost(state: SocketState): void {
    if (state !== this.#opening && state !== this.#current && state !== this.#retiring) return;
    this.#discard(state);
    if (state === this.#retiring) {
      this.#finishRetirement();
      return;
    }
    if (state === this.#opening) {
      this.#opening = undefined;
      void this.#options.isUnauthorized().then(
        (isUnauthorized) => isUnauthorized && this.expire(),
        () => {},
      );
    }
    if (state === this.#current) {
      this.#current = undefined;
      if (this.#environment.elapsed() - state.openedAt > STABLE_AFTER) this.#backoff.reset();
    }
    if (this.#opening) {
      this.#setState("connecting");
    } else {
      this.#cancelReconnect();
      this.#cancelReconnect = this.#environment.after(this.#backoff.next(), () => this.#connect());
      if (!this.#current) this.#setState("waiting");
    }
  }

  #end(state: "closed" | "expired"): void {
    for (const type of NETWORK_EVENTS) this.#environment.window?.removeEventListener(type, this.#onNetworkEvent);
    this.#cancelReconnect();
    this.#finishRetirement();
    if (this.#opening) this.#discard(this.#opening);
    if (this.#current) this.#discard(this.#current);
    this.#opening = this.#current = undefined;
    this.#setState(state);
  }
}

function payloadTooLarge(action: Action): ErrorFrame {
  const subject = {
    ...("uri" in action && { uri: action.uri }),
    ...("key" in action && { key: action.key }),
    ...("id" in action && { id: action.id }),
  };
  return { type: "error", action: action.action, status: 413, detail: "This is too long to be sent.", ...subject };
}
