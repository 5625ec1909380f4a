/**
 * What the host page can do: the page that has this script, and maybe others of a product with its own users. The
 * global `confab` exists as soon as the script runs, and waits for the configuration by itself.
 */

import type { Auth } from "./composables/useAuth";

/** A JWT of the product's identity provider, or a function that gets a current one. */
export type Jwt = string | (() => string | Promise<string>);

export interface HostPage {
  /**
   * Logs the JWT's user in, instead of the current user. With a function, the user is logged in again when the login
   * expires. Throws if the server refuses the JWT.
   */
  login(options: { readonly jwt: Jwt }): Promise<void>;
}

/** Creates the global `confab`. Its calls wait for the returned function. */
export function createHostPage(): (auth: Auth) => void {
  let provide: (auth: Auth) => void = () => {};
  const auth = new Promise<Auth>((resolve) => {
    provide = resolve;
  });
  const confab: HostPage = { login: async ({ jwt }) => (await auth).exchange(jwt) };
  Object.defineProperty(window, "confab", { value: Object.freeze(confab) });
  return provide;
}

/**
 * Whom a JWT is about, so that a stored login of the same user can stay. The server verifies it. Undefined if it is not a
 * JWT.
 */
export function subjectOf(jwt: string): string | undefined {
  try {
    const payload = (jwt.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const { iss, sub } = Object(JSON.parse(new TextDecoder().decode(bytes)));
    return typeof iss === "string" && typeof sub === "string" ? JSON.stringify([iss, sub]) : undefined;
  } catch {
    return undefined;
  }
}
