// One message: what was said, the figures of a reply, and what can be done with it.

import { Growing } from "./markdown.js";
import { button, copy, make } from "./page.js";

const WHO = { user: "You", assistant: "Model", system: "System prompt", tool: "Tool" };

export class Message {
  constructor(key, act, actions) {
    this.key = key;
    this.act = act;
    this.actions = actions; // whether turns can be changed here
    this.element = make("article", "elfm-message");
    this.who = make("h3", "elfm-who");
    this.thinking = make("details", "elfm-thinking", { hidden: "" });
    this.thought = make("div", "elfm-thought");
    this.thinkingTitle = make("summary");
    this.thinking.append(this.thinkingTitle, this.thought);
    this.body = make("div", "elfm-body");
    this.calls = make("div", "elfm-calls");
    this.foot = make("footer", "elfm-foot");
    this.element.append(this.who, this.thinking, this.body, this.calls, this.foot);
    this.markdown = new Growing(this.body);
    this.thoughts = new Growing(this.thought);
    this.element.addEventListener("click", (event) => {
      const pressed = event.target.closest(".elfm-copy-code");
      if (pressed) copied(pressed, pressed.closest(".elfm-code").querySelector("code").textContent);
    });
  }

  show(said, status) {
    if (!said) return;
    const before = this.said;
    this.said = { ...said };
    const writing = said.state === "writing";
    this.element.className = `elfm-message elfm-${said.role} elfm-${said.state}`;
    this.element.setAttribute("aria-busy", String(writing));
    this.element.dataset.key = this.key;
    this.who.textContent = said.role === "assistant" && said.name ? said.name : WHO[said.role];
    if (said.role === "assistant") {
      if (writing) this.markdown.show(said.text);
      else if (before?.text !== said.text || before?.state !== said.state) this.markdown.finish(said.text);
    } else if (before?.text !== said.text) {
      this.body.textContent = said.text;
    }
    this.showThinking(said, writing);
    this.showCalls(said);
    if (!writing || before?.state !== said.state) this.showFoot(said, status);
  }

  showThinking(said, writing) {
    this.thinking.hidden = !said.thinking;
    if (!said.thinking) {
      this.thoughts.clear();
      return;
    }
    const still = writing && !said.text;
    this.thinkingTitle.textContent = still ? "Thinking …" : "Thinking";
    if (writing) this.thoughts.show(said.thinking);
    else this.thoughts.finish(said.thinking);
  }

  showCalls(said) {
    const calls = said.calls ?? [];
    if (this.calls.childElementCount === calls.length && !calls.length) return;
    this.calls.replaceChildren(
      ...calls.map((call) => {
        const card = make("details", "elfm-call", { open: "" });
        const title = make("summary");
        title.append(make("span", "elfm-call-kind", {}, "Tool call"), make("code", "", {}, call.name));
        const list = make("dl");
        for (const [name, value] of Object.entries(call.arguments)) {
          list.append(make("dt", "", {}, name), make("dd", "", {}, typeof value === "string" ? value : JSON.stringify(value)));
        }
        card.append(title, list);
        if (call.result != null) card.append(make("p", "elfm-call-result", {}, call.result));
        return card;
      }),
    );
  }

  showFoot(said, status) {
    this.foot.replaceChildren();
    if (said.state === "writing") return;
    if (said.figures) this.foot.append(make("span", "elfm-figures", {}, said.figures));
    const bar = make("span", "elfm-actions", { role: "toolbar", "aria-label": "Message" });
    if (this.actions && said.versions && said.versions.of > 1) bar.append(this.versions(said.versions));
    if (said.role === "assistant") {
      const take = button("elfm-copy", "Copy this reply", "Copy", () => copied(take, said.text));
      bar.append(take);
    }
    if (this.actions && said.role === "user") {
      bar.append(button("elfm-edit", "Edit this message", "Edit", () => this.edit()));
    }
    if (this.actions && said.role === "assistant") {
      if (said.last) {
        bar.append(button("elfm-regenerate", "Answer again; this answer is kept", "Regenerate", () => this.act({ kind: "regenerate", key: this.key })));
      }
      if (!said.last) {
        bar.append(button("elfm-branch", "Go on from here another way; what follows is kept", "Branch here", () => this.act({ kind: "branch", key: this.key })));
      }
    }
    if (bar.childElementCount) this.foot.append(bar);
    this.enable(status);
  }

  versions({ at, of }) {
    const group = make("span", "elfm-versions", { role: "group", "aria-label": `Version ${at} of ${of}` });
    const earlier = button("elfm-earlier", "The version before", "‹", () => this.act({ kind: "version", key: this.key, at: at - 1 }));
    const later = button("elfm-later", "The next version", "›", () => this.act({ kind: "version", key: this.key, at: at + 1 }));
    earlier.dataset.end = String(at <= 1);
    later.dataset.end = String(at >= of);
    group.append(earlier, make("span", "", {}, `${at}/${of}`), later);
    return group;
  }

  /** While a reply is being written, nothing else may be changed. */
  enable(status) {
    for (const one of this.foot.querySelectorAll("button:not(.elfm-copy)")) {
      one.disabled = Boolean(status.busy) || !status.ready || one.dataset.end === "true";
    }
  }

  edit() {
    if (this.editing) return;
    this.editing = true;
    const form = make("form", "elfm-editor");
    const area = make("textarea", "elfm-input", { "aria-label": "Edit the message", rows: "3" });
    area.value = this.said.text;
    const done = () => {
      this.editing = false;
      form.remove();
      this.body.hidden = this.foot.hidden = false;
    };
    const save = make("button", "elfm-save", { type: "submit" }, "Send");
    form.append(area, save, button("elfm-cancel", "Leave it as it was", "Cancel", done));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!area.value.trim()) return;
      done();
      this.act({ kind: "edit", key: this.key, text: area.value });
    });
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        done();
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    this.body.hidden = this.foot.hidden = true;
    this.body.after(form);
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }
}

async function copied(pressed, text) {
  await copy(text);
  const before = pressed.textContent;
  pressed.textContent = "Copied";
  setTimeout(() => (pressed.textContent = before === "Copied" ? "Copy" : before), 1200);
}
