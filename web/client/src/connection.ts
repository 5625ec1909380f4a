/** The socket: it opens it, notices when it is dead, opens it again, and replaces it before the gateway cuts it. */

import { Backoff } from "./backoff.js";
import { Emitter } from "./emitter.js";
import type { Environment, Socket } from "./environment.js";
import { readFrame } from "./frame.js";
import { fitsFrame, toJson } from "./text.js";
import type { Action, ErrorFrame, Frame } from "./wire.js";

/** All in milliseconds. The gateway cuts a socket that is idle for 10 minutes, and any after 2 hours. */
const OPENING = 15_000;
const IDLE = 5 * 60_000;
const PONG = 10_000;
const LIFETIME = 110 * 60_000;
/** Sockets that were opened together are not replaced together: each lives shorter by up to this. */
const SPREAD = 10 * 60_000;
/** A socket that lived so long was a good one: the next try comes soon. */
const STABLE = 10_000;
/** A socket that is replaced is listened to until the new one has caught up, but no longer than this. */
const RETIREMENT = 30_000;
/** How long the answer to what is said may take before it is said again. */
export const ANSWER = 10_000;

/**
 * `connecting` and `waiting` (for the next try) have no socket yet, or not any more. `expired`: the token is refused, so somebody has to log in
 * again. `closed`: not opened yet, or closed by its owner.
 */
export type ConnectionState = "connecting" | "open" | "waiting" | "expired" | "closed";

interface ConnectionEvents {
  state: ConnectionState;
  /** A socket is open, the first one or another one: what is to be said on each socket is to be said now. */
  open: undefined;
  frame: Frame;
}

/** How a {@link Connection} is made. */
export interface ConnectionOptions {
  readonly url: string;
  readonly token: string;
  /** Whether the token is refused; asked when a socket could not be opened, because browsers do not tell why. */
  readonly refused: () => Promise<boolean>;
  readonly environment: Environment;
}

/** A socket, and what is to be known of it. */
interface Link {
  readonly socket: Socket;
  /** When it was opened, and when the last frame arrived, on the `elapsed` clock. */
  opened: number;
  heard: number;
  /** Whether nothing was heard since it was pinged. */
  silent: boolean;
  /** Chats whose subscription has been asked for and not been answered. */
  readonly subscribing: Set<string>;
  cancel: () => void;
}

/** A connection to the server that comes back by itself. */
export class Connection extends Emitter<ConnectionEvents> {
  #state: ConnectionState = "closed";
  /** What is being opened, what is spoken to, and what is only listened to until the one after it has caught up. */
  #opening: Link | undefined;
  #current: Link | undefined;
  #retiring: Link | undefined;
  #cancelNext = () => {};
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

  /** Opens it, and keeps it open from now on. */
  open(): void {
    if (this.#state !== "closed") return;
    for (const type of ["online", "offline", "visibilitychange"]) {
      this.#environment.window?.addEventListener(type, this.#look);
    }
    this.#connect();
  }

  /** Closes it for good. */
  close(): void {
    this.#end("closed");
  }

  /** The token is no good any more: closes it for good. */
  expire(): void {
    if (this.#state !== "closed") this.#end("expired");
  }

  /**
   * Sends an action and returns true if the socket is open. Nothing is queued. The gateway closes the socket over a frame that is too large, so
   * such an action is not sent; a local error frame with status 413 answers it.
   */
  send(action: Action): boolean {
    const link = this.#current;
    if (!link) return false;
    const text = toJson(action);
    if (!fitsFrame(text)) {
      queueMicrotask(() => this.emit("frame", tooLarge(action)));
      return true;
    }
    if (action.action === "subscribe") link.subscribing.add(action.uri);
    link.socket.send(text);
    return true;
  }

  /** Whether a frame has arrived on the current socket since this moment of the `elapsed` clock. If not, pings the socket. */
  heardSince(moment: number): boolean {
    const link = this.#current;
    if (!link || link.heard > moment) return link !== undefined;
    if (!link.silent) this.#ping(link);
    return false;
  }

  #set(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.emit("state", state);
  }

  #connect(): void {
    this.#cancelNext();
    if (!this.#current) this.#set("connecting");
    const { url, token } = this.#options;
    const socket = new this.#environment.WebSocket(url, ["confab", `token.${token}`]);
    const link: Link = {
      socket,
      opened: 0,
      heard: 0,
      silent: false,
      subscribing: new Set(),
      cancel: this.#environment.after(OPENING, () => this.#lost(link)),
    };
    this.#opening = link;
    socket.onopen = () => this.#opened(link);
    socket.onmessage = (event) => this.#heard(link, event.data);
    // After the one comes the other, but not in Node 20's own WebSocket.
    socket.onerror = socket.onclose = () => this.#lost(link);
  }

  #opened(link: Link): void {
    this.#opening = undefined;
    this.#retire();
    this.#retiring = this.#current;
    this.#current = link;
    link.opened = link.heard = this.#environment.elapsed();
    this.#watch(link, IDLE);
    const lifetime = LIFETIME - this.#environment.random() * SPREAD;
    this.#cancelNext = this.#environment.after(lifetime, () => this.#connect());
    this.#set("open");
    this.emit("open", undefined);
    if (this.#retiring) {
      if (link.subscribing.size === 0) this.#retire();
      else this.#cancelRetirement = this.#environment.after(RETIREMENT, () => this.#retire());
    }
  }

  #retire(): void {
    this.#cancelRetirement();
    if (this.#retiring) this.#discard(this.#retiring);
    this.#retiring = undefined;
  }

  #heard(link: Link, data: unknown): void {
    link.heard = this.#environment.elapsed();
    link.silent = false;
    for (const line of String(data).split("\n")) {
      const frame = readFrame(line);
      if (frame) this.#take(link, frame);
    }
  }

  #take(link: Link, frame: Frame): void {
    const action = frame.type === "error" ? frame.action : frame.type;
    if ((action === "subscribed" || action === "subscribe") && "uri" in frame) link.subscribing.delete(frame.uri ?? "");
    // With 401 the server does not know this socket any more, or its token: opening another one will tell.
    if (frame.type === "error" && frame.status === 401) this.#lost(link);
    else this.emit("frame", frame);
    if (link === this.#current && link.subscribing.size === 0) this.#retire();
  }

  /** Pings a socket from which nothing has been heard for long: that keeps it from being cut, and shows whether it is dead. */
  #watch(link: Link, wait: number): void {
    link.cancel();
    link.cancel = this.#environment.after(wait, () => {
      const left = IDLE - (this.#environment.elapsed() - link.heard);
      // Timers cannot measure fractions of a millisecond.
      if (left >= 1) this.#watch(link, left);
      else this.#ping(link);
    });
  }

  #ping(link: Link): void {
    link.cancel();
    link.silent = true;
    link.socket.send(toJson({ action: "ping" } satisfies Action));
    link.cancel = this.#environment.after(PONG, () => (link.silent ? this.#lost(link) : this.#watch(link, IDLE)));
  }

  /** The network has come or gone, or the page is looked at again, perhaps after the computer slept: that is worth a try. */
  readonly #look = (event: Event): void => {
    if (this.#current) {
      this.#ping(this.#current);
    } else if (this.#state === "waiting" && event.type !== "offline") {
      this.#backoff.reset();
      this.#connect();
    }
  };

  #discard(link: Link): void {
    link.cancel();
    // A dead socket may take minutes until it says so; by then nobody is to listen.
    link.socket.onopen = link.socket.onmessage = link.socket.onclose = null;
    // The package `ws` throws what nobody hears.
    link.socket.onerror = () => {};
    link.socket.close();
  }

  #lost(link: Link): void {
    if (link !== this.#opening && link !== this.#current && link !== this.#retiring) return;
    this.#discard(link);
    if (link === this.#retiring) {
      this.#retire();
      return;
    }
    if (link === this.#opening) {
      this.#opening = undefined;
      void this.#options.refused().then(
        (refused) => refused && this.expire(),
        () => {},
      );
    }
    if (link === this.#current) {
      this.#current = undefined;
      if (this.#environment.elapsed() - link.opened > STABLE) this.#backoff.reset();
    }
    if (this.#opening) {
      this.#set("connecting");
    } else {
      this.#cancelNext();
      this.#cancelNext = this.#environment.after(this.#backoff.next(), () => this.#connect());
      if (!this.#current) this.#set("waiting");
    }
  }

  #end(state: "closed" | "expired"): void {
    for (const type of ["online", "offline", "visibilitychange"]) {
      this.#environment.window?.removeEventListener(type, this.#look);
    }
    this.#cancelNext();
    this.#retire();
    if (this.#opening) this.#discard(this.#opening);
    if (this.#current) this.#discard(this.#current);
    this.#opening = this.#current = undefined;
    this.#set(state);
  }
}

function tooLarge(action: Action): ErrorFrame {
  const about = {
    ...("uri" in action && { uri: action.uri }),
    ...("key" in action && { key: action.key }),
    ...("id" in action && { id: action.id }),
  };
  return { type: "error", action: action.action, status: 413, detail: "This is too long to be sent.", ...about };
}
