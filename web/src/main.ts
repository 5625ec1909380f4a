/** Starts the page. */

import { createApp } from "vue";
import App from "./App.vue";
import { readConfig } from "./config";
import { accountKey, createAccount } from "./session";
import "./styles.css";

const account = createAccount(await readConfig());
createApp(App).provide(accountKey, account).mount("#app");
