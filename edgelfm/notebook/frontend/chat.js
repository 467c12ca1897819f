// The chat: messages as they stream, what can be done with them, and the line to write in.
//
// Everything that is shown comes from the kernel, in numbered messages; see store.js. What a person does goes there as
// one message each, and comes back as a change of what is shown: two tabs on one kernel show the same.

import { Message } from "./message.js";
import { Store } from "./store.js";
import { button, download, make } from "./page.js";

const BETWEEN_DRAWS = 60; // milliseconds; the eye does not tell more, and the model may need the processor
// Of the time, at most: where this page runs on the machine of the model, each drawing takes the processor from it, in
// this and other processes of the browser for longer than can be seen from here.
const SHARE_OF_DRAWING = 1 / 25;
const LONGEST_BETWEEN_DRAWS = 400; // milliseconds
const BETWEEN_ACKS = 1000; // milliseconds; an answer costs kernel and page more than what it answers
const PATIENCE = 5000; // milliseconds until an answer of the kernel is missed
const NEAR_THE_END = 60; // pixels from the end of the log at which it goes on scrolling by itself

class Chat {
  constructor(model, el) {
    this.model = model;
    this.view = Math.random().toString(36).slice(2, 10);
    this.store = new Store();
    this.shown = new Map(); // key -> Message
    this.dirty = new Set();
    this.drawn = this.acked = this.cost = 0; // milliseconds
    this.build(el);
    this.hear = (said, buffers) => this.heard(said, buffers);
    model.on("msg:custom", this.hear);
    this.leave = () => this.say({ kind: "bye" });
    window.addEventListener("pagehide", this.leave);
    this.say({ kind: "hello" });
  }

  dispose() {
    this.model.off("msg:custom", this.hear);
    window.removeEventListener("pagehide", this.leave);
    clearTimeout(this.timer);
    clearTimeout(this.acking);
    clearTimeout(this.missing);
    this.leave();
  }

  build(el) {
    const composer = this.model.get("composer");
    this.root = make("section", "elfm-chat", { "data-lm-suppress-shortcuts": "true", "aria-label": "Chat" });
    this.head = make("header", "elfm-head", { hidden: "" });
    this.title = make("span", "elfm-title");
    this.tools = make("span", "elfm-tools", { role: "toolbar", "aria-label": "Chat" });
    this.head.append(this.title, this.tools);
    if (this.model.get("actions")) {
      this.tools.append(
        button("elfm-new", "Begin a new chat", "New chat", () => this.act({ kind: "new" })),
        button("elfm-export-python", "Save this chat as a Python script", "Save .py", () => this.act({ kind: "export", format: "python" })),
        button("elfm-export-json", "Save this chat as JSON, for edgelfm.resume()", "Save .json", () => this.act({ kind: "export", format: "json" })),
      );
    }
    this.log = make("div", "elfm-log", { role: "log", "aria-live": "polite", "aria-label": "Conversation", tabindex: "0" });
    this.empty = make("p", "elfm-empty");
    this.notice = make("div", "elfm-notice", { role: "alert", hidden: "" });
    this.toEnd = button("elfm-to-end", "Scroll to the newest message", "↓", () => this.scrollDown(true));
    this.toEnd.hidden = true;
    this.root.append(this.head, this.log, this.toEnd, this.notice);
    this.log.append(this.empty);
    if (composer) this.root.append(this.composer());
    else this.root.classList.add("elfm-bare");
    this.log.addEventListener("scroll", () => (this.toEnd.hidden = this.atEnd()));
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.store.status.busy) {
        event.preventDefault();
        this.act({ kind: "stop" });
      }
    });
    el.append(this.root);
  }

  composer() {
    const form = make("form", "elfm-composer");
    this.input = make("textarea", "elfm-input", {
      rows: "1", "aria-label": "Message", placeholder: "Write a message. Enter sends, Shift+Enter begins a new line.",
    });
    this.sendButton = make("button", "elfm-send", { type: "submit" }, "Send");
    this.stopButton = button("elfm-stop", "Stop the reply (Escape)", "Stop", () => this.act({ kind: "stop" }));
    this.stopButton.hidden = true;
    form.append(this.input, this.sendButton, this.stopButton);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.input.addEventListener("input", () => this.grow());
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.send();
      } else if (event.key === "ArrowUp" && !this.input.value) {
        const last = [...this.store.path].reverse().find((key) => this.store.messages.get(key)?.role === "user");
        if (last && !this.store.status.busy) {
          event.preventDefault();
          this.shown.get(last).edit();
        }
      }
    });
    return form;
  }

  grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight + 2, 220)}px`;
  }

  send() {
    const text = this.input.value;
    if (!text.trim() || this.store.status.busy || !this.store.status.ready) return;
    this.input.value = "";
    this.grow();
    this.act({ kind: "send", text });
    this.scrollDown(true);
  }

  // Talking with the kernel ------------------------------------------------------------------------------------------

  say(content) {
    try {
      this.model.send({ ...content, view: this.view });
    } catch {
      this.tell({ kind: "error", text: "The kernel is gone. Run the cell again.", hint: "" });
    }
  }

  /** Something a person did. The kernel must answer. */
  act(content) {
    this.tell(null);
    this.say(content);
    clearTimeout(this.missing);
    this.missing = setTimeout(() => {
      this.tell({ kind: "error", text: "The kernel does not answer.", hint: "Wait if a cell runs; else run this cell again." });
    }, PATIENCE);
  }

  heard(said) {
    clearTimeout(this.missing);
    if (said.kind === "file") {
      if (said.view === this.view) download(said.name, said.text, said.type);
      return;
    }
    const told = this.store.apply(said);
    if (told === null) {
      this.say({ kind: "sync" });
      return;
    }
    for (const key of told.changed) this.dirty.add(key);
    this.pathChanged ||= told.path;
    this.statusChanged ||= told.status;
    this.ack(said.kind === "snapshot" || said.ops.some((op) => op.op !== "text"));
    this.soon();
  }

  /** Say what has arrived, so that the kernel neither floods a slow page nor writes for one that is gone. */
  ack(now) {
    const wait = this.acked + BETWEEN_ACKS - performance.now();
    clearTimeout(this.acking);
    if (!now && wait > 0) {
      this.acking = setTimeout(() => this.ack(true), wait); // else the last of a burst would never be answered
      return;
    }
    this.acked = performance.now();
    this.say({ kind: "ack", seq: this.store.seq, seconds: this.between() / 1000 });
  }

  // Drawing ----------------------------------------------------------------------------------------------------------

  soon() {
    if (this.timer) return;
    const wait = Math.max(0, this.between() - (performance.now() - this.drawn));
    this.timer = setTimeout(() => {
      this.timer = null;
      this.drawn = performance.now();
      this.draw();
      this.weigh(this.drawn);
    }, wait);
  }

  /** Milliseconds from one drawing to the next. */
  between() {
    return Math.min(Math.max(BETWEEN_DRAWS, this.cost / SHARE_OF_DRAWING), LONGEST_BETWEEN_DRAWS);
  }

  /** How long a drawing takes, with layout and paint: until the browser has time for something else again. */
  weigh(begun) {
    if (document.hidden) return;
    requestAnimationFrame((frame) => {
      const waited = Math.max(0, frame - performance.now()); // for the screen, not for us
      const channel = new MessageChannel();
      channel.port1.onmessage = () => {
        const took = performance.now() - begun - waited;
        this.cost += (Math.min(took, 100) - this.cost) / 4;
        channel.port1.close();
      };
      channel.port2.postMessage(null);
    });
  }

  draw() {
    const follow = this.atEnd();
    if (this.statusChanged) this.drawStatus();
    if (this.pathChanged) this.drawPath();
    for (const key of this.dirty) this.shown.get(key)?.show(this.store.messages.get(key), this.store.status);
    if (this.statusChanged) for (const message of this.shown.values()) message.enable(this.store.status);
    this.pathChanged = this.statusChanged = false;
    this.dirty.clear();
    if (follow) this.scrollDown();
    this.toEnd.hidden = this.atEnd();
  }

  drawPath() {
    const path = this.store.path;
    for (const [key, message] of this.shown) {
      if (path.includes(key)) continue;
      message.element.remove();
      this.shown.delete(key);
    }
    let before = this.empty;
    for (const key of path) {
      let message = this.shown.get(key);
      if (!message) {
        message = new Message(key, (content) => this.act(content), this.model.get("actions"));
        this.shown.set(key, message);
        this.dirty.add(key);
      }
      if (before.nextSibling !== message.element) before.after(message.element);
      before = message.element;
    }
    this.empty.hidden = path.length > 0;
  }

  drawStatus() {
    const status = this.store.status;
    this.title.textContent = status.title ?? "";
    this.head.hidden = !status.title;
    for (const one of this.tools.children) one.disabled = Boolean(status.busy) || !status.ready;
    this.empty.textContent = status.ready ? "Nothing has been said yet." : (status.waiting ?? "No model is loaded.");
    this.root.classList.toggle("elfm-busy", Boolean(status.busy));
    if (status.notice !== undefined) this.tell(status.notice);
    if (!this.input) return;
    this.stopButton.hidden = !status.busy;
    this.sendButton.hidden = Boolean(status.busy);
    this.sendButton.disabled = !status.ready;
    this.input.disabled = !status.ready;
  }

  tell(notice) {
    this.notice.hidden = !notice;
    if (!notice) return;
    this.notice.className = `elfm-notice elfm-${notice.kind}`;
    this.notice.replaceChildren(make("span", "", {}, notice.text));
    if (notice.hint) this.notice.append(make("code", "", {}, notice.hint));
    this.notice.append(button("elfm-dismiss", "Dismiss", "×", () => (this.notice.hidden = true)));
  }

  atEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_THE_END;
  }

  scrollDown(always = false) {
    if (always) this.toEnd.hidden = true;
    this.log.scrollTop = this.log.scrollHeight;
  }
}

export default {
  render({ model, el }) {
    const chat = new Chat(model, el);
    return () => chat.dispose();
  },
};
