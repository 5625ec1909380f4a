import assert from "node:assert/strict";
import { test } from "node:test";
import { Api, ApiError, UnreachableError } from "../src/index.js";
import { Clock } from "./clock.js";

interface RecordedRequest {
  request: string;
  headers: Record<string, string>;
  body: unknown;
}

/** An API whose server has one response for all requests, and the recorded requests. */
function api(answer: () => Response | Promise<Response> = () => Response.json({}), token?: string) {
  const requests: RecordedRequest[] = [];
  const clock = new Clock();
  const environment = {
    after: clock.after.bind(clock),
    fetch: async (url: string, init: RequestInit) => {
      const headers = Object.fromEntries(new Headers(init.headers));
      requests.push({ request: `${init.method} ${url}`, headers, body: init.body && JSON.parse(String(init.body)) });
      const aborted = new Promise<never>((_, reject) => {
        init.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      });
      init.signal?.throwIfAborted();
      return Promise.race([answer(), aborted]);
    },
  };
  const options = { url: "https://chat.test/", environment, ...(token !== undefined && { token }) };
  return { api: new Api(options), requests, clock };
}

test("each method sends the request of its endpoint", async () => {
  const { api: it, requests } = api(undefined, "secret");
  await it.me();
  await it.updateMe({ first_name: "Dani" });
  await it.setPassword("old", "new");
  await it.revokeToken("0123456789abcdef");
  await it.revokeOtherTokens();
  await it.setUsername("password", "dani");
  await it.chats();
  await it.chats({ limit: 5 });
  await it.createChat();
  await it.chat("abc");
  await it.join("abc", "daniel");
  await it.join("abc", ["daniel", "eve"]);
  await it.transferOwnership("abc", "daniel");
  await it.removeMember("abc", "žofie@x");
  await it.history("abc");
  await it.history("abc", { before: 9, limit: 5 });
  await it.post("abc", "Hello");
  await it.post("abc", "Hello", { key: "k", replyTo: 4 });
  await it.edit("abc", 7, "Hi");
  await it.delete("abc", 7);
  await it.react("abc", 7, "👍");
  await it.unreact("abc", 7, "👍");
  await it.search("abc", { q: "a b&c", limit: 5 });
  await it.markRead("abc", 7);
  const base = "https://chat.test";
  assert.deepEqual(
    requests.map(({ request, body }) => [request.replace(base, ""), body]),
    [
      ["GET /auth/me", undefined],
      ["PATCH /auth/me", { first_name: "Dani" }],
      ["POST /auth/password", { current_password: "old", new_password: "new" }],
      ["DELETE /auth/tokens/0123456789abcdef", undefined],
      ["DELETE /auth/tokens", undefined],
      ["POST /auth/username", { current_password: "password", new_username: "dani" }],
      ["GET /api/chats", undefined],
      ["GET /api/chats?limit=5", undefined],
      ["POST /api/chats", undefined],
      ["GET /api/chats/abc", undefined],
      ["PATCH /api/chats/abc", { username: "daniel" }],
      ["PATCH /api/chats/abc", { usernames: ["daniel", "eve"] }],
      ["PATCH /api/chats/abc", { owner: "daniel" }],
      ["DELETE /api/chats/abc/members/%C5%BEofie%40x", undefined],
      ["GET /api/chats/abc/messages", undefined],
      ["GET /api/chats/abc/messages?before=9&limit=5", undefined],
      ["POST /api/chats/abc/messages", { message: "Hello" }],
      ["POST /api/chats/abc/messages", { message: "Hello", reply_to: 4 }],
      ["PATCH /api/chats/abc/messages/7", { message: "Hi" }],
      ["DELETE /api/chats/abc/messages/7", undefined],
      ["PUT /api/chats/abc/messages/7/reactions/%F0%9F%91%8D", undefined],
      ["DELETE /api/chats/abc/messages/7/reactions/%F0%9F%91%8D", undefined],
      ["GET /api/chats/abc/search?q=a+b%26c&limit=5", undefined],
      ["PUT /api/chats/abc/read", { id: 7 }],
    ],
  );
  assert.ok(requests.every(({ headers }) => headers.authorization === "Token secret"));
  assert.equal(requests[17]?.headers["idempotency-key"], "k");
  assert.equal(requests[16]?.headers["idempotency-key"], undefined);
});

test("the token of a login is used until logging out", async () => {
  const { api: it, requests } = api(() => Response.json({ auth_token: "fresh" }), "stale");
  await it.register({ username: "danidee", password: "mypassword" });
  assert.equal(await it.logIn("danidee", "mypassword"), "fresh");
  await it.me();
  await it.logOut();
  assert.equal(it.token, undefined);
  await it.me();
  assert.deepEqual(
    requests.map(({ headers }) => headers.authorization),
    [undefined, undefined, "Token fresh", "Token fresh", undefined],
  );
});

test("a JWT is exchanged for a token", async () => {
  const { api: it, requests } = api(() => Response.json({ auth_token: "fresh" }), "stale");
  assert.equal(await it.exchange("a.b.c"), "fresh");
  await it.me();
  assert.deepEqual(
    requests.map(({ request, body, headers }) => [request, body, headers.authorization]),
    [
      ["POST https://chat.test/auth/token/exchange", { token: "a.b.c" }, undefined],
      ["GET https://chat.test/auth/me", undefined, "Token fresh"],
    ],
  );
});

test("page URLs are requested from the same host as the first page", async () => {
  const { api: it, requests } = api();
  await it.chats("http://inside:3000/api/chats/?cursor=1-a&limit=2");
  await it.chats("/api/chats/?cursor=1-a&limit=2");
  await it.history("abc", "/api/chats/abc/messages/?before=3");
  await it.search("abc", "/api/chats/abc/search/?q=a+b&before=3");
  await it.members("abc", "/api/chats/abc/members/?cursor=100");
  await it.search("abc", "http://inside:3000/api/chats/abc/search/?q=a+b&before=3");
  assert.deepEqual(
    requests.map(({ request }) => request),
    [
      "GET https://chat.test/api/chats?cursor=1-a&limit=2",
      "GET https://chat.test/api/chats?cursor=1-a&limit=2",
      "GET https://chat.test/api/chats/abc/messages?before=3",
      "GET https://chat.test/api/chats/abc/search?q=a+b&before=3",
      "GET https://chat.test/api/chats/abc/members?cursor=100",
      "GET https://chat.test/api/chats/abc/search?q=a+b&before=3",
    ],
  );
});

test("tokens are listed", async () => {
  const { api: it, requests } = api(
    () => Response.json({ tokens: [{ id: "0123456789abcdef", current: true }] }),
    "secret",
  );
  assert.deepEqual(await it.tokens(), [{ id: "0123456789abcdef", current: true }]);
  assert.equal(requests[0]?.request, "GET https://chat.test/auth/tokens");
});

test("lone surrogates are replaced in all requests", async () => {
  const { api: it, requests } = api(undefined, "secret");
  const [half, repaired] = ["a\ud83d", "a\ufffd"];
  await it.register({ username: half, password: half });
  await it.updateMe({ first_name: half });
  await it.setPassword(half, half);
  await it.join(half, [half]);
  await it.removeMember("abc", half);
  await it.post("abc", half);
  await it.edit("abc", 7, half);
  await it.react("abc", 7, half);
  await it.search("abc", { q: half });
  const escaped = encodeURIComponent(repaired);
  assert.deepEqual(
    requests.map(({ request, body }) => [request.replace("https://chat.test", ""), body]),
    [
      ["POST /auth/users/create", { username: repaired, password: repaired }],
      ["PATCH /auth/me", { first_name: repaired }],
      ["POST /auth/password", { current_password: repaired, new_password: repaired }],
      [`PATCH /api/chats/${escaped}`, { usernames: [repaired] }],
      [`DELETE /api/chats/abc/members/${escaped}`, undefined],
      ["POST /api/chats/abc/messages", { message: repaired }],
      ["PATCH /api/chats/abc/messages/7", { message: repaired }],
      [`PUT /api/chats/abc/messages/7/reactions/${escaped}`, undefined],
      [`GET /api/chats/abc/search?q=${escaped}`, undefined],
    ],
  );
});

test("a response without a body is undefined", async () => {
  const { api: it } = api(() => new Response(null, { status: 204 }));
  assert.equal(await it.delete("abc", 7), undefined);
});

test("error responses become messages for display", async () => {
  const cases: [Response, number, string, object, number?][] = [
    [Response.json({ detail: "Not found." }, { status: 404 }), 404, "Not found.", {}],
    [
      Response.json(
        { username: ["This field is required."], password: ["Too short.", "Too common."] },
        { status: 400 },
      ),
      400,
      "username: This field is required. password: Too short. Too common.",
      { username: ["This field is required."], password: ["Too short.", "Too common."] },
    ],
    [
      Response.json({ non_field_errors: ["Unable to login with provided credentials."] }, { status: 400 }),
      400,
      "Unable to login with provided credentials.",
      { non_field_errors: ["Unable to login with provided credentials."] },
    ],
    [
      Response.json(["Unable to create account."], { status: 400 }),
      400,
      "Unable to create account.",
      { non_field_errors: ["Unable to create account."] },
    ],
    [
      Response.json({ message: ["This field is required."] }, { status: 400 }),
      400,
      "message: This field is required.",
      { message: ["This field is required."] },
    ],
    [
      Response.json({ detail: "Request was throttled." }, { status: 429, headers: { "Retry-After": "17" } }),
      429,
      "Request was throttled.",
      {},
      17,
    ],
    [Response.json({ message: "Too Many Requests" }, { status: 429 }), 429, "Too Many Requests", {}],
    [new Response("<html>", { status: 502, statusText: "Bad Gateway" }), 502, "Bad Gateway", {}],
    [new Response("", { status: 504 }), 504, "The server answered 504.", {}],
    [Response.json(null, { status: 500 }), 500, "The server answered 500.", {}],
  ];
  for (const [response, status, message, fields, retryAfter] of cases) {
    const error = await api(() => response)
      .api.chat("abc")
      .catch((error: unknown) => error);
    assert.ok(error instanceof ApiError);
    assert.deepEqual(
      [error.status, error.message, error.fields, error.retryAfter],
      [status, message, fields, retryAfter],
    );
  }
});

test("a rejected token emits an event, a wrong password does not", async () => {
  const { api: it } = api(() => Response.json({ detail: "Invalid token." }, { status: 401 }), "secret");
  const events: string[] = [];
  it.on("unauthorized", (error) => events.push(error.message));
  await assert.rejects(it.logIn("danidee", "wrong"));
  assert.deepEqual(events, []);
  await assert.rejects(it.me());
  assert.deepEqual(events, ["Invalid token."]);
  // A rejected token that has been replaced meanwhile emits nothing.
  const late = assert.rejects(it.me());
  it.token = "fresh";
  await late;
  assert.equal(events.length, 1);
});

test("a request can be aborted, and times out after thirty seconds", async () => {
  const { api: it, clock } = api(() => new Promise(() => {}));
  const controller = new AbortController();
  const given = assert.rejects(it.me(controller.signal), { name: "AbortError" });
  controller.abort();
  await given;
  await assert.rejects(it.me(AbortSignal.abort()), { name: "AbortError" });
  const late = assert.rejects(it.me(), { name: "TimeoutError" });
  await clock.advance(30_000);
  await late;
});

test("network errors differ from error responses", async () => {
  const { api: it } = api(() => Promise.reject(new TypeError("fetch failed")));
  await assert.rejects(it.me(), UnreachableError);
});

test("a response that is not from the server is a network error", async () => {
  const { api: it } = api(
    () => new Response("<h1>Welcome to our hotel</h1>", { headers: { "Content-Type": "text/html" } }),
  );
  await assert.rejects(it.me(), UnreachableError);
});

test("mails of accounts are requested and used without a token", async () => {
  const { api: it, requests } = api(undefined, "secret");
  await it.requestPasswordReset("a@example.com");
  await it.resetPassword("MQ", "t", "new");
  await it.requestActivation("a@example.com");
  await it.activate("MQ", "t");
  assert.deepEqual(
    requests.map(({ request, body }) => [request.replace("https://chat.test", ""), body]),
    [
      ["POST /auth/password/reset", { email: "a@example.com" }],
      ["POST /auth/password/reset/confirm", { uid: "MQ", token: "t", new_password: "new" }],
      ["POST /auth/users/resend_activation", { email: "a@example.com" }],
      ["POST /auth/users/activate", { uid: "MQ", token: "t" }],
    ],
  );
  assert.ok(requests.every(({ headers }) => headers.authorization === undefined));
});
