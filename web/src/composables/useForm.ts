/** What a form does when it is submitted: it is busy, and then knows what is wrong with each field, and with the whole. */

import { ApiError } from "@confab/client";
import { ref } from "vue";
import { explain } from "../errorMessages";

export function useForm(act: () => Promise<void>) {
  const fields = ref<ApiError["fields"]>({});
  const problem = ref("");
  const isBusy = ref(false);

  async function submit(): Promise<void> {
    isBusy.value = true;
    fields.value = {};
    problem.value = "";
    try {
      await act();
    } catch (error) {
      const named = error instanceof ApiError ? error.fields : {};
      if (Object.keys(named).some((name) => name !== "non_field_errors")) fields.value = named;
      else problem.value = explain(error);
    } finally {
      isBusy.value = false;
    }
  }

  return { fields, problem, isBusy, submit };
}
