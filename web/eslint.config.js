/** ESLint checks Vue components where Biome does not. Biome formats, and lints everything else. */

import tsParser from "@typescript-eslint/parser";
import vue from "eslint-plugin-vue";
import vueParser from "vue-eslint-parser";

/** Formatting rules conflict with Biome. */
const { rules: layoutRules } = vue.configs["no-layout-rules"];

/** Rules that Biome has under similar names, such as `noVueReservedKeys` and `useVueValidVIf`. */
const biomeRules = [
  "no-arrow-functions-in-watch",
  "no-deprecated-data-object-declaration",
  "no-dupe-keys",
  "no-reserved-keys",
  "no-reserved-props",
  "no-use-v-if-with-v-for",
  "require-v-for-key",
  "v-bind-style",
  "v-on-style",
  "valid-template-root",
  "valid-v-bind",
  "valid-v-cloak",
  "valid-v-else",
  "valid-v-else-if",
  "valid-v-html",
  "valid-v-if",
  "valid-v-on",
  "valid-v-once",
  "valid-v-pre",
  "valid-v-text",
];

export default [
  { ignores: ["**/dist/", "**/build/"] },
  ...vue.configs["flat/recommended"],
  {
    files: ["src/**/*.vue"],
    languageOptions: { parser: vueParser, parserOptions: { parser: tsParser, sourceType: "module" } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: { ...layoutRules, ...Object.fromEntries(biomeRules.map((name) => [`vue/${name}`, "off"])) },
  },
];
