import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodePathSegment, fitsFrame, MAX_FRAME_BYTES, toJson, toWellFormed, validateMessage } from "../src/text.js";

/** Any string, with lone surrogates. */
const units = fc.array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd800, max: 0xdfff })));
const anyText = units.map((codes) => String.fromCharCode(...codes));

test("lone surrogates become U+FFFD, other text is unchanged", () => {
  assert.equal(toWellFormed("cut off \ud83d"), "cut off \ufffd");
  assert.equal(toWellFormed("\udc4dcut off"), "\ufffdcut off");
  assert.equal(toWellFormed("\ud83d\ud83d\udc4d"), "\ufffd👍");
  assert.equal(toWellFormed("👍 é \u0000 \ufffe"), "👍 é \u0000 \ufffe");
});

test("JSON and path segments are well-formed for any string", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const bytes = new TextEncoder().encode(toJson({ message: text, list: [text] }));
      const read = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
      assert.deepEqual(read, { message: toWellFormed(text), list: [toWellFormed(text)] });
      // TextEncoder replaces lone surrogates as well.
      const platform = new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text));
      assert.equal(toWellFormed(text), platform);
      assert.equal(decodeURIComponent(encodePathSegment(text)), toWellFormed(text));
    }),
  );
});

test("a message has 1 to 2,000 Unicode scalar values", () => {
  assert.equal(validateMessage(""), "A message has at least one character.");
  for (const text of ["a", " ", "a".repeat(2000), "🦀".repeat(2000)]) assert.equal(validateMessage(text), undefined);
  for (const text of ["a".repeat(2001), "🦀".repeat(2001)]) {
    assert.equal(validateMessage(text), "A message has at most 2,000 characters; this one has 2,001.");
  }
});

test("a frame has at most 32 KB in UTF-8", () => {
  assert.ok(fitsFrame("a".repeat(MAX_FRAME_BYTES)));
  assert.ok(!fitsFrame("a".repeat(MAX_FRAME_BYTES + 1)));
  assert.ok(fitsFrame("é".repeat(MAX_FRAME_BYTES / 2)));
  assert.ok(!fitsFrame("é".repeat(MAX_FRAME_BYTES / 2 + 1)));
});
