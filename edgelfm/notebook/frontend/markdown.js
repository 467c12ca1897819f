// A reply as HTML that can do no harm, block by block, so that a long reply that grows is not drawn anew each time.
//
// Markup in a reply is shown as text, never used. Pictures are shown as links: loading one would tell its server who
// reads this. What markdown-it makes goes through DOMPurify all the same.

import DOMPurify from "dompurify";
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import MarkdownIt from "markdown-it";

const LANGUAGES = { bash, c, cpp, css, diff, go, java, javascript, json, python, rust, sql, xml, yaml };
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

const LONGEST_HIGHLIGHTED = 20000; // characters of one block of code
const MOST_NESTED = 100; // brackets, quotes or list marks in a row; nobody writes more, and parsers suffer from it
const TAGS = [
  "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
  "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul", "div", "button",
];
const ATTRIBUTES = ["class", "href", "title", "rel", "target", "start", "type", "align", "aria-label"];

const md = new MarkdownIt({ html: false, linkify: false, typographer: false, highlight });

function highlight(code, name) {
  if (!hljs.getLanguage(name) || code.length > LONGEST_HIGHLIGHTED) return "";
  return hljs.highlight(code, { language: name, ignoreIllegals: true }).value;
}

const plainLink = md.renderer.rules.link_open ?? ((tokens, i, options, env, self) => self.renderToken(tokens, i, options));
md.renderer.rules.link_open = (tokens, i, options, env, self) => {
  tokens[i].attrSet("target", "_blank");
  tokens[i].attrSet("rel", "noopener noreferrer nofollow");
  return plainLink(tokens, i, options, env, self);
};

md.renderer.rules.image = (tokens, i) => {
  const escape = md.utils.escapeHtml;
  const to = tokens[i].attrGet("src") ?? "";
  const name = tokens[i].content || "picture";
  return /^https?:/i.test(to)
    ? `<a href="${escape(to)}" target="_blank" rel="noopener noreferrer nofollow">${escape(name)}</a>`
    : escape(name);
};

const plainFence = md.renderer.rules.fence;
md.renderer.rules.fence = (tokens, i, options, env, self) => {
  const name = md.utils.escapeHtml(tokens[i].info.trim().split(/\s+/, 1)[0] || "");
  const head = `<div class="elfm-code-head"><span>${name}</span><button type="button" class="elfm-copy-code">Copy</button></div>`;
  return `<div class="elfm-code">${head}${plainFence(tokens, i, options, env, self)}</div>`;
};

/** The top-level blocks of `text`: `[{start, end}]`, offsets of characters. Together they cover all of it. */
export function blocks(text) {
  if (!text || tooNested(text)) return text ? [{ start: 0, end: text.length }] : [];
  const starts = [];
  const lines = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines.push(at + 1);
  for (const token of md.parse(text, {})) {
    if (token.level === 0 && token.nesting >= 0 && token.map) starts.push(lines[token.map[0]] ?? text.length);
  }
  const first = [...new Set(starts)];
  if (!first.length) return [{ start: 0, end: text.length }];
  first[0] = 0;
  return first.map((start, i) => ({ start, end: first[i + 1] ?? text.length }));
}

/** Whether `text` holds more nesting than a person writes. Such text is shown as it stands. */
export function tooNested(text) {
  return new RegExp(`[\\[\\]()>*_~!]{${MOST_NESTED},}|(?:(?:^|\\n)[ \\t]*|[ \\t>])(?:[>*+-][ \\t]?){${MOST_NESTED},}`).test(text);
}

/** One block as HTML that can do no harm. */
export function html(text, purify = DOMPurify) {
  const made = tooNested(text) ? `<pre class="elfm-plain">${md.utils.escapeHtml(text)}</pre>` : md.render(text);
  return purify.sanitize(made, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  });
}

/** Draws a text that grows into an element. Blocks that are complete are left alone. */
export class Growing {
  constructor(element) {
    this.element = element;
    this.text = "";
    this.settled = 0; // characters in blocks that will not change any more
    this.nodes = []; // of the blocks after these
  }

  /** Show `text`. If it goes on from what was shown, only the end is drawn. */
  show(text) {
    if (text === this.text) return;
    if (!text.startsWith(this.text)) this.clear();
    this.text = text;
    const rest = text.slice(this.settled);
    const found = blocks(rest);
    for (const node of this.nodes) node.remove();
    this.nodes = found.map((block) => this.draw(rest.slice(block.start, block.end)));
    // The last block may go on, and a list or a paragraph before it may still take it in.
    const done = found.length - 2;
    if (done > 0) {
      this.settled += found[done].start;
      this.nodes.splice(0, done);
    }
  }

  /** Show `text` from the beginning, links that are defined at its end included. */
  finish(text) {
    this.clear();
    this.text = text;
    this.nodes = [this.draw(text)];
  }

  clear() {
    this.element.replaceChildren();
    this.text = "";
    this.settled = 0;
    this.nodes = [];
  }

  draw(text) {
    const node = document.createElement("div");
    node.className = "elfm-block";
    node.innerHTML = html(text);
    this.element.append(node);
    return node;
  }
}
