/** ESLint checks what Biome does not: Vue's templates and components. Biome formats and lints everything else. */

import tsParser from "@typescript-eslint/parser";
import vue from "eslint-plugin-vue";
import vueParser from "vue-eslint-parser";

/** Formatting is Biome's. */
const { rules: layoutRules } = vue.configs["no-layout-rules"];

export default [
  { ignores: ["**/dist/", "**/build/"] },
  ...vue.configs["flat/recommended"],
  {
    files: ["src/**/*.vue"],
    languageOptions: { parser: vueParser, parserOptions: { parser: tsParser, sourceType: "module" } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: layoutRules,
  },
];
