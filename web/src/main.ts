/** Starts the page. */

import { createApp } from "vue";
import App from "./App.vue";
import { accountKey, createAccount } from "./composables/useAuth";
import { readConfig } from "./config";
import UnavailableView from "./views/UnavailableView.vue";
import "./styles.css";

let waiting: ReturnType<typeof createApp> | undefined;
const config = await readConfig(() => {
  if (waiting) return;
  waiting = createApp(UnavailableView);
  waiting.mount("#app");
});
waiting?.unmount();
createApp(App).provide(accountKey, createAccount(config)).mount("#app");
