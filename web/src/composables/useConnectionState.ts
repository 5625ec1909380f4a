/** How the connection is, in words. */

import type { Connection } from "@confab/client";
import { onScopeDispose, ref, watch } from "vue";

export function useConnection(connection: Connection) {
  const state = ref(connection.state);
  const isOffline = ref(false);
  onScopeDispose(
    connection.on("state", (changed) => {
      state.value = changed;
    }),
  );
  // Each further try would make it "connecting" again, which is no news.
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
