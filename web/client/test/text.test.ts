import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encoded, FRAME_BYTES, fitsFrame, problemOf, toJson, wellFormed } from "../src/text.js";

/** Any text, halves of surrogate pairs included. */
const units = fc.array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd800, max: 0xdfff })));
const anyText = units.map((codes) => String.fromCharCode(...codes));

test("half a surrogate pair becomes U+FFFD, and all other text stays as it is", () => {
  assert.equal(wellFormed("cut off \ud83d"), "cut off \ufffd");
  assert.equal(wellFormed("\udc4dcut off"), "\ufffdcut off");
  assert.equal(wellFormed("\ud83d\ud83d\udc4d"), "\ufffd👍");
  assert.equal(wellFormed("👍 é \u0000 \ufffe"), "👍 é \u0000 \ufffe");
});

test("whatever the text, JSON and addresses of it can be read by everybody", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const bytes = new TextEncoder().encode(toJson({ message: text, list: [text] }));
      const read = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
      assert.deepEqual(read, { message: wellFormed(text), list: [wellFormed(text)] });
      // The encoder puts the same in place of half a pair.
      const platform = new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text));
      assert.equal(wellFormed(text), platform);
      assert.equal(decodeURIComponent(encoded(text)), wellFormed(text));
    }),
  );
});

test("a message has 1 to 2,000 characters, counted as Unicode counts", () => {
  assert.equal(problemOf(""), "A message has at least one character.");
  for (const text of ["a", " ", "a".repeat(2000), "🦀".repeat(2000)]) assert.equal(problemOf(text), undefined);
  for (const text of ["a".repeat(2001), "🦀".repeat(2001)]) {
    assert.equal(problemOf(text), "A message has at most 2,000 characters; this one has 2,001.");
  }
});

test("a frame has 32 KB at most, counted in bytes", () => {
  assert.ok(fitsFrame("a".repeat(FRAME_BYTES)));
  assert.ok(!fitsFrame("a".repeat(FRAME_BYTES + 1)));
  assert.ok(fitsFrame("é".repeat(FRAME_BYTES / 2)));
  assert.ok(!fitsFrame("é".repeat(FRAME_BYTES / 2 + 1)));
});
