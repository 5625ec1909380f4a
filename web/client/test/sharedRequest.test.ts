import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedRequest } from "../src/sharedRequest.js";

test("calls while a request is in flight share its result", async () => {
  const shared = new SharedRequest<number>();
  let count = 0;
  const request = async () => ++count;
  const first = shared.run(request);
  assert.equal(shared.run(request), first);
  assert.equal(await first, 1);
  assert.equal(await shared.run(request), 2);
});

test("after a request that failed, the next call makes another", async () => {
  const shared = new SharedRequest<number>();
  const failure = () => Promise.reject(new Error("offline"));
  const first = shared.run(failure);
  await assert.rejects(
    shared.run(async () => 1),
    /offline/,
  );
  await assert.rejects(first, /offline/);
  assert.equal(await shared.run(async () => 2), 2);
});
