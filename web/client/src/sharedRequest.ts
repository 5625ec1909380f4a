/** A request of which one is in flight at a time: calls meanwhile share its result. */
export class SharedRequest<Result> {
  #inFlight: Promise<Result> | undefined;

  /** Makes the request, unless one is in flight. */
  run(request: () => Promise<Result>): Promise<Result> {
    this.#inFlight ??= request().finally(() => {
      this.#inFlight = undefined;
    });
    return this.#inFlight;
  }
}
