// Run with `node --test`, or by the tests of the package.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "./store.js";

const message = (text = "") => ({ role: "assistant", text, thinking: "", state: "writing" });
const snapshot = (seq, messages = {}, epoch = "e") => ({
  kind: "snapshot", epoch, seq, document: { messages, path: Object.keys(messages), status: { ready: true } },
});
const ops = (seq, ...list) => ({ kind: "ops", epoch: "e", seq, ops: list });

test("text grows message by message", () => {
  const store = new Store();
  store.apply(snapshot(1, { m1: message() }));
  const told = store.apply(ops(2, { op: "text", key: "m1", part: "text", add: "Hello" }));
  assert.deepEqual([...told.changed], ["m1"]);
  store.apply(ops(3, { op: "text", key: "m1", part: "text", add: " there" }));
  assert.equal(store.messages.get("m1").text, "Hello there");
});

test("a missing message is noticed, and a snapshot mends it", () => {
  const store = new Store();
  store.apply(snapshot(1, { m1: message() }));
  assert.equal(store.apply(ops(3, { op: "text", key: "m1", part: "text", add: "late" })), null);
  assert.equal(store.messages.get("m1").text, "");
  store.apply(snapshot(3, { m1: message("both") }));
  assert.equal(store.messages.get("m1").text, "both");
});

test("what is known already changes nothing", () => {
  const store = new Store();
  store.apply(snapshot(5, { m1: message("five") }));
  assert.equal(store.apply(ops(5, { op: "text", key: "m1", part: "text", add: "again" })).changed.size, 0);
  store.apply(snapshot(4, { m1: message("four") }));
  assert.equal(store.messages.get("m1").text, "five");
});

test("another kernel begins anew, whatever its numbers", () => {
  const store = new Store();
  store.apply(snapshot(50, { m1: message("old") }));
  assert.equal(store.apply({ ...ops(51), epoch: "other" }), null);
  store.apply(snapshot(1, { m7: message("new") }, "other"));
  assert.deepEqual(store.path, ["m7"]);
});

test("messages that leave the path are forgotten, status adds up", () => {
  const store = new Store();
  store.apply(snapshot(1, { m1: message("a"), m2: message("b") }));
  store.apply(ops(2, { op: "path", keys: ["m2"] }, { op: "status", status: { busy: true } }));
  assert.deepEqual([...store.messages.keys()], ["m2"]);
  assert.deepEqual(store.status, { ready: true, busy: true });
});
