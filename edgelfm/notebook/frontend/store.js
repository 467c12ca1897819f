// What the kernel says, kept in order. Numbered messages build the same document here as there; one that is missing
// is noticed, and the whole is asked for. Knows nothing of pages.

export class Store {
  constructor() {
    this.epoch = null; // of the kernel's side; another one starts counting anew
    this.seq = 0; // of the last message that was understood
    this.messages = new Map(); // key -> message
    this.path = []; // keys, in the order they are shown
    this.status = {};
  }

  /**
   * Take in one message of the kernel.
   *
   * Returns `{changed, path, status}`: keys whose message changed and whether the rest did; or null if something is
   * missing and the whole must be asked for.
   */
  apply(said) {
    if (said.kind === "snapshot") return this.replace(said);
    if (said.epoch !== this.epoch || said.seq > this.seq + 1) return null;
    const told = { changed: new Set(), path: false, status: false };
    if (said.seq <= this.seq) return told; // an answer to somebody else's question; it is known
    for (const op of said.ops) {
      if (op.op === "text" && !this.messages.has(op.key)) return null;
      this.one(op, told);
    }
    this.seq = said.seq;
    return told;
  }

  replace(said) {
    if (said.epoch === this.epoch && said.seq < this.seq) return { changed: new Set(), path: false, status: false };
    this.epoch = said.epoch;
    this.seq = said.seq;
    this.messages = new Map(Object.entries(said.document.messages));
    this.path = said.document.path;
    this.status = said.document.status;
    return { changed: new Set(this.path), path: true, status: true };
  }

  one(op, told) {
    if (op.op === "text") {
      this.messages.get(op.key)[op.part] += op.add;
      told.changed.add(op.key);
    } else if (op.op === "put") {
      this.messages.set(op.key, op.message);
      told.changed.add(op.key);
    } else if (op.op === "path") {
      this.path = op.keys;
      told.path = true;
      for (const key of [...this.messages.keys()]) if (!op.keys.includes(key)) this.messages.delete(key);
    } else if (op.op === "status") {
      Object.assign(this.status, op.status);
      told.status = true;
    }
  }
}
