/** The entry point of the page. */

import { createApp } from "vue";
import App from "./App.vue";
import { authKey, createAuth } from "./composables/useAuth";
import { loadConfig } from "./config";
import UnavailableView from "./views/UnavailableView.vue";
import "./styles.css";

let unavailable: ReturnType<typeof createApp> | undefined;
const config = await loadConfig(() => {
  if (unavailable) return;
  unavailable = createApp(UnavailableView);
  unavailable.mount("#app");
});
unavailable?.unmount();
createApp(App).provide(authKey, createAuth(config)).mount("#app");
