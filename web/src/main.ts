/** The entry point of the page. */

import { createApp } from "vue";
import App from "./App.vue";
import { authKey, createAuth } from "./composables/useAuth";
import { loadConfig } from "./config";
import { createHostPage } from "./hostPage";
import UnavailableView from "./views/UnavailableView.vue";
import "./styles.css";

// Before the first wait, so that scripts after this one find it.
const provideAuth = createHostPage();
let unavailable: ReturnType<typeof createApp> | undefined;
const config = await loadConfig(() => {
  if (unavailable) return;
  unavailable = createApp(UnavailableView);
  unavailable.mount("#app");
});
unavailable?.unmount();
const auth = createAuth(config);
createApp(App).provide(authKey, auth).mount("#app");
provideAuth(auth);
