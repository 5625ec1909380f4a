/** The build and the development server, which proxies API requests to the server at `CONFAB_URL`. */

import { fileURLToPath } from "node:url";
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

const server = process.env.CONFAB_URL ?? "http://127.0.0.1:8000";
const proxy = { "/api": server, "/auth": server, "/ws": { target: server, ws: true, changeOrigin: true } };
/** The same policy as the server sends, so that violations show up in the preview. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

export default defineConfig({
  base: "./",
  plugins: [vue()],
  resolve: { alias: { "@confab/client": fileURLToPath(new URL("client/src/index.ts", import.meta.url)) } },
  build: { target: "es2023", modulePreload: { polyfill: false } },
  server: { proxy },
  preview: { proxy, headers: { "Content-Security-Policy": policy } },
});
