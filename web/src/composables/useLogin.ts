/** The login, for components that are shown to logged-in users only. */

import type { Api, Client, User } from "@confab/client";
import { type InjectionKey, provide } from "vue";
import { injectRequired } from "../injection";

/** A logged-in user, and the API and the realtime client with the user's token. */
export interface Login {
  readonly api: Api;
  readonly client: Client;
  /** Reactive: the same object when the profile changes. */
  readonly user: User;
}

const loginKey: InjectionKey<Login> = Symbol("login");

export function provideLogin(login: Login): void {
  provide(loginKey, login);
}

export function useLogin(): Login {
  return injectRequired(loginKey);
}
