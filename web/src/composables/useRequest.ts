/** A request by a user, with its progress and its error. */

import { ref } from "vue";
import { errorMessage } from "../errorMessages";
import { useRoute } from "./useRoute";

export function useRequest() {
  const route = useRoute();
  /** Why the last request failed, for display; empty after a success. */
  const problem = ref("");
  const isBusy = ref(false);

  /** Returns whether the request succeeded and the user has not navigated meanwhile. */
  async function run(request: () => Promise<unknown>): Promise<boolean> {
    const from = route.value;
    isBusy.value = true;
    try {
      await request();
      problem.value = "";
      return route.value === from;
    } catch (error) {
      problem.value = errorMessage(error);
      return false;
    } finally {
      isBusy.value = false;
    }
  }

  return { problem, isBusy, run };
}
