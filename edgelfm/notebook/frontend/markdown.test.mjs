// What needs no page. That nothing runs in a page is tested in one, by tests/notebook/test_harmless.py.

import assert from "node:assert/strict";
import { test } from "node:test";
import { blocks, html, tooNested } from "./markdown.js";

const asMade = { sanitize: (made) => made }; // DOMPurify needs a page; what markdown-it alone makes must do no harm either
const parts = (text) => blocks(text).map((one) => text.slice(one.start, one.end));

test("blocks cover the whole text, whatever it is", () => {
  for (const text of ["", "one", "\n\none", "a\n\nb", "# h\ntext\n- a\n- b\n\n```py\nx\n\ny\n```\nend", "|a|\n|-|\n|b|", "> q\n\n\n1. x"]) {
    assert.equal(parts(text).join(""), text);
  }
});

test("a block of code is one block, also before it is closed", () => {
  assert.deepEqual(parts("Look:\n\n```py\na = 1\n\nb = 2\n"), ["Look:\n\n", "```py\na = 1\n\nb = 2\n"]);
});

test("a reply that grows settles to what it is as a whole", () => {
  const text = "# Title\n\nA paragraph\nof two lines.\n\n- one\n- two\n\n  still two\n\n```js\nlet x;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd.";
  const whole = parts(text);
  for (let length = 1; length < text.length; length++) {
    const found = parts(text.slice(0, length));
    const settled = found.slice(0, -2).join("");
    assert.ok(whole.join("").startsWith(settled));
    // Blocks before the last two are final: they are blocks of the whole.
    found.slice(0, -2).forEach((part, i) => assert.equal(part.trim(), whole[i].trim()));
  }
});

test("markup and addresses that run something are text", () => {
  for (const text of [
    "<script>x()</script>", "<img src=x onerror=x()>", "[a](javascript:x())", "[a](JaVaScRiPt:x())", "![a](javascript:x())",
    "[a](vbscript:x())", "[a](data:text/html,x)", "<a href='javascript:x()'>", "[a]: javascript:x()\n\n[a]", "<svg onload=x()>",
  ]) {
    const made = html(text, asMade);
    assert.ok(!/<script|<img|<svg|<[^>]*\son\w+=|(?:href|src)="\s*(?:javascript|vbscript|data):/i.test(made), `${text} → ${made}`);
  }
});

test("a picture is a link, so nothing is fetched", () => {
  const made = html("![a cat](https://example.org/cat.png)", asMade);
  assert.match(made, /<a href="https:\/\/example.org\/cat.png"[^>]*>a cat<\/a>/);
  assert.ok(!made.includes("<img"));
});

test("nesting that nobody writes is shown as it stands, quickly", () => {
  for (const text of ["[".repeat(10000) + "]".repeat(10000), "> ".repeat(10000), "*".repeat(10000), "![".repeat(5000), "a](".repeat(5000), "`".repeat(10000), "- ".repeat(5000) + "x"]) {
    const started = performance.now();
    const made = html(text, asMade);
    blocks(text);
    assert.ok(performance.now() - started < 2000, text.slice(0, 10));
    assert.ok((made.match(/<(blockquote|ul|ol|em|strong)\b/g) ?? []).length < 200);
  }
  assert.ok(tooNested("[".repeat(200)));
  assert.ok(!tooNested("- a\n- b\n".repeat(500)));
  assert.ok(!tooNested("matrix[i][j] = f(g(h(x)))"));
});

test("code is highlighted in languages it knows, and shown in others", () => {
  assert.match(html("```python\ndef f(): pass\n```", asMade), /hljs-keyword/);
  assert.match(html("```klingon\n<b>\n```", asMade), /&lt;b&gt;/);
});
