/** A page that logs its own users in, with a JWT. */

import assert from "node:assert/strict";
import { Api } from "@confab/client";
import { eventually, type Fixture, test } from "./fixture.js";
import { expectHidden, expectVisible, type Person } from "./person.js";

const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
const jwtOf = (person: Person) =>
  `${base64({ alg: "EdDSA" })}.${base64({ iss: "https://id.example/", sub: person.name })}.signature`;

/** Stands in for the server's verification, which tests/it/identity covers. */
async function acceptJwts(fixture: Fixture, browser: Person, people: readonly Person[]): Promise<string[]> {
  const accepted: string[] = [];
  await browser.page.context().route("**/auth/token/exchange", async (route) => {
    const { token } = route.request().postDataJSON() as { token: string };
    const person = people.find((candidate) => token === jwtOf(candidate));
    if (!person) return route.fulfill({ status: 401, json: { detail: "Invalid token." } });
    accepted.push(person.name);
    const api = new Api({ url: fixture.api });
    return route.fulfill({ json: { auth_token: await api.logIn(person.name, person.password) } });
  });
  return accepted;
}

const logIn = (browser: Person, jwt: string) =>
  browser.page.evaluate(
    (text) =>
      (window as unknown as { confab: { login(options: { jwt: string }): Promise<void> } }).confab.login({ jwt: text }),
    jwt,
  );

test("a host page logs its user in, and another user instead", async (fixture) => {
  const [anna, ben] = await Promise.all([fixture.visitor("anna"), fixture.visitor("ben")]);
  await Promise.all([anna.register(), ben.register()]);
  const accepted = await acceptJwts(fixture, anna, [anna, ben]);
  await anna.visit();
  await logIn(anna, jwtOf(anna));
  await expectVisible(anna.page.getByRole("banner").getByText(anna.name));
  await anna.page.reload();
  await logIn(anna, jwtOf(anna));
  await expectVisible(anna.page.getByRole("banner").getByText(anna.name));
  assert.deepEqual(accepted, [anna.name], "a stored login of the same user stays");
  await logIn(anna, jwtOf(ben));
  await expectVisible(anna.page.getByRole("banner").getByText(ben.name));
  await assert.rejects(logIn(anna, "a.b.c"), /Invalid token/);
  await expectVisible(anna.page.getByRole("banner").getByText(ben.name));
});

test("a login that expires is renewed with a new JWT", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.register();
  const accepted = await acceptJwts(fixture, anna, [anna]);
  await anna.visit();
  await anna.page.evaluate((jwt) => {
    const { confab } = window as unknown as { confab: { login(options: { jwt(): Promise<string> }): Promise<void> } };
    return confab.login({ jwt: async () => jwt });
  }, jwtOf(anna));
  await expectVisible(anna.status("Connected"));
  const token = await anna.page.evaluate(
    () => JSON.parse(localStorage.getItem("confab.session") ?? "").token as string,
  );
  await new Api({ url: fixture.api, token }).logOut();
  await eventually(async () => accepted.length, 2);
  await expectVisible(anna.status("Connected"));
  await expectHidden(anna.alert);
});

test("registration is not offered if the configuration says so", async (fixture) => {
  const anna = await fixture.visitor("anna");
  await anna.page.route("**/config.json", (route) => route.fulfill({ json: { registration: false } }));
  await anna.visit("#/register");
  await expectVisible(anna.page.getByRole("form", { name: "Log in" }));
  await expectHidden(anna.page.getByRole("link", { name: "Register" }));
});
