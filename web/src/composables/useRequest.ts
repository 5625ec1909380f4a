/** Trying what may fail, and saying what went wrong until something succeeds. */

import { ref } from "vue";
import { explain } from "../errorMessages";
import { route } from "./useRoute";

export function useAttempt() {
  const problem = ref("");
  const isBusy = ref(false);

  /** Tells whether one may be led on now: it has succeeded, and one has not gone elsewhere meanwhile. */
  async function attempt(act: () => Promise<unknown>): Promise<boolean> {
    const from = route.value;
    isBusy.value = true;
    try {
      await act();
      problem.value = "";
      return route.value === from;
    } catch (error) {
      problem.value = explain(error);
      return false;
    } finally {
      isBusy.value = false;
    }
  }

  return { problem, isBusy, attempt };
}
