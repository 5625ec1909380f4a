/** Typed events: who wants to hear of something subscribes, and gets a function that ends that. */
export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Calls `listener` with each event of this type, until the function that is returned is called. */
  on<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  protected emit<Type extends keyof Events>(type: Type, event: Events[Type]): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        (listener as (event: Events[Type]) => void)(event);
      } catch (error) {
        // A listener's fault must not keep the rest from being told; it still reaches whoever watches for uncaught errors.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
