/** The submission of a form, with its progress and its errors. */

import { ApiError } from "@confab/client";
import { ref } from "vue";
import { errorMessage } from "../errorMessages";

export function useForm(action: () => Promise<void>) {
  /** Validation errors by field. */
  const fields = ref<ApiError["fields"]>({});
  /** Any other error, for display. */
  const problem = ref("");
  const isBusy = ref(false);

  async function submit(): Promise<void> {
    isBusy.value = true;
    fields.value = {};
    problem.value = "";
    try {
      await action();
    } catch (error) {
      const byField = error instanceof ApiError ? error.fields : {};
      if (Object.keys(byField).some((name) => name !== "non_field_errors")) fields.value = byField;
      else problem.value = errorMessage(error);
    } finally {
      isBusy.value = false;
    }
  }

  return { fields, problem, isBusy, submit };
}
