/** The state of the connection to the server. */

import type { Connection } from "@confab/client";
import { onScopeDispose, ref, watch } from "vue";

export function useConnectionState(connection: Connection) {
  const state = ref(connection.state);
  const isOffline = ref(false);
  onScopeDispose(
    connection.on("state", (changed) => {
      state.value = changed;
    }),
  );
  // `connecting` changes nothing: each attempt to reconnect goes through it.
  watch(
    state,
    (now) => {
      if (now === "waiting") isOffline.value = true;
      if (now === "open") isOffline.value = false;
    },
    { immediate: true },
  );
  return { state, isOffline };
}
