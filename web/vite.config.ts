/** How the page is built, and served while one works on it: what is not the page itself is asked of the server at `CONFAB_URL`. */

import { fileURLToPath } from "node:url";
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

const server = process.env.CONFAB_URL ?? "http://127.0.0.1:8000";
const proxy = { "/api": server, "/auth": server, "/ws": { target: server, ws: true, changeOrigin: true } };
/** As the server sends it, so that what it forbids shows here. */
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
