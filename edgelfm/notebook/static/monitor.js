// The live panel of one model. Python sends rows of figures as float32 and, with each message, what the model is doing;
// this draws the latest minute of them. It says every few seconds whether it can be seen: unseen, Python looks at nothing.

const SVG = "http://www.w3.org/2000/svg";
const BEAT = 3000; // milliseconds between two signs of life
const CALM = 2000; // between two drawings for those who asked for less motion
const SILENT = 6000; // without a row although somebody looks: the kernel does not answer

function element(name, look, attributes = {}, ...content) {
  const made = document.createElement(name);
  if (look) made.className = look;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
}

function memory(mib) {
  if (!Number.isFinite(mib)) return "unknown";
  if (mib >= 1000) return `${(mib / 1024).toFixed(2)} GiB`;
  return mib < 10 ? `${mib.toFixed(1)} MiB` : `${mib.toFixed(0)} MiB`;
}

// The latest rows, one typed array each, and what to call their figures.
class History {
  constructor(columns, cores, most) {
    this.names = new Map(columns.map((name, place) => [name, place]));
    this.width = columns.length + cores;
    this.first = columns.length;
    this.most = most;
    this.rows = [];
  }
  clear() {
    this.rows = [];
  }
  add(view) {
    const figures = new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    for (let at = 0; at + this.width <= figures.length; at += this.width) this.rows.push(figures.subarray(at, at + this.width));
    this.rows.splice(0, Math.max(0, this.rows.length - this.most));
  }
  now(name) {
    return this.rows.length ? this.rows[this.rows.length - 1][this.names.get(name)] : NaN;
  }
  cores() {
    return this.rows.length ? this.rows[this.rows.length - 1].subarray(this.first) : [];
  }
  known(name) {
    const place = this.names.get(name);
    return this.rows.some((row) => Number.isFinite(row[place]));
  }
  most_of(name) {
    const place = this.names.get(name);
    return this.rows.reduce((most, row) => (row[place] > most ? row[place] : most), 0);
  }
}

// A line over the latest minute, in a box of 1000 by 100. A gap in time or a missing figure breaks it.
function trace(history, name, scale, seconds, gap) {
  const [place, at] = [history.names.get(name), history.names.get("at")];
  const end = history.now("at");
  let line = "";
  let area = "";
  let begun = null;
  let last = null;
  const close = () => {
    if (begun !== null) area += `L${last.x} 100L${begun} 100Z`;
    begun = null;
  };
  for (const row of history.rows) {
    const x = Math.round(1000 * (1 - (end - row[at]) / seconds));
    const value = row[place];
    if (x < -20 || !Number.isFinite(value)) {
      close();
      last = null;
      continue;
    }
    const y = (100 - 100 * Math.min(1, Math.max(0, (value - scale[0]) / (scale[1] - scale[0])))).toFixed(1);
    const step = last && row[at] - last.at <= gap ? "L" : "M";
    if (step === "M") {
      close();
      begun = x;
      area += `M${x} 100L${x} ${y}`;
    } else area += `L${x} ${y}`;
    line += `${step}${x} ${y}`;
    last = { x, at: row[at] };
  }
  close();
  return { line, area };
}

// One figure with its name and its last minute.
class Dial {
  constructor(name, tone, { wide = false, chart = true } = {}) {
    this.words = name;
    this.root = element("section", `elfm-dial${wide ? " elfm-dial-wide" : ""}`, { "aria-label": name });
    this.root.style.setProperty("--tone", `var(--elfm-${tone})`);
    this.note = element("span");
    this.figure = element("div", "elfm-dial-figure");
    this.root.append(element("div", "elfm-dial-name", {}, element("span", "", {}, name), this.note), this.figure);
    if (chart) {
      this.svg = document.createElementNS(SVG, "svg");
      this.svg.setAttribute("viewBox", "0 0 1000 100");
      this.svg.setAttribute("preserveAspectRatio", "none");
      this.svg.setAttribute("role", "img");
      this.paths = {};
      for (const look of ["held", "area", "base", "line", "predicted", "mark"]) {
        const path = document.createElementNS(SVG, "path");
        path.setAttribute("class", `elfm-${look}`);
        this.svg.append(path);
        this.paths[look] = path;
      }
      this.path("base", "M0 100L1000 100");
      this.root.append(this.svg);
    }
  }
  path(look, d) {
    if (this.paths[look].getAttribute("d") !== d) this.paths[look].setAttribute("d", d);
  }
  say(figure, unit = "", note = "") {
    const text = `${figure}${unit ? ` ${unit}` : ""}`;
    if (this.said !== text) {
      this.said = text;
      this.figure.replaceChildren(figure, ...(unit ? [" ", element("small", "", {}, unit)] : []));
      if (this.svg) this.svg.setAttribute("aria-label", `${this.words}, the last minute; now ${text}`);
    }
    if (this.note.textContent !== note) this.note.textContent = note;
  }
}

function render({ model, el }) {
  const about = model.get("about");
  const history = new History(about.columns, about.cores, about.drawn);
  const seconds = about.drawn / about.hertz;
  const gap = 3 / about.hertz;
  const view = crypto.randomUUID?.() ?? String(Math.random());
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  let status = {};
  let marks = [];
  let seq = null;
  let drawn = 0;
  let heard = performance.now();

  const doing = element("span", "elfm-monitor-doing");
  const pause = element("button", "", { type: "button", "aria-pressed": "false" }, "Pause");
  const note = element("input", "", { type: "text", maxlength: "80", placeholder: "note", "aria-label": "Note for the mark" });
  const mark = element("button", "", { type: "button" }, "Mark");
  const save = element("button", "", { type: "button" }, "Save trace");
  const said = element("div", "elfm-monitor-said", { role: "status", "aria-live": "polite" });
  const dials = {
    memory: new Dial("Memory of the process", "compute", { wide: true }),
    speed: new Dial("Decode", "good"),
    cores: new Dial("Cores", "conv"),
    celsius: new Dial("Temperature", "bad"),
    watts: new Dial("Power", "warn"),
    gpu: new Dial("GPU", "good"),
    npu: new Dial("NPU", "good"),
    pressure: new Dial("Waiting for memory", "bad"),
  };
  const fall = element("div", "elfm-fall-parts");
  const line = element("div", "elfm-fall-line", { hidden: "" });
  const keys = element("div", "elfm-keys");
  dials.memory.svg.before(element("div", "elfm-fall", { "aria-hidden": "true" }, fall, line), keys);
  const bars = element("div", "elfm-cores", { "aria-hidden": "true" });
  bars.append(...Array.from({ length: about.cores }, () => element("i")));
  dials.cores.svg.before(bars);
  const { memory: first, ...others } = dials;
  const grid = element("div", "elfm-monitor-grid", {}, ...Object.values(others).map((one) => one.root));
  const root = element(
    "div",
    "elfm elfm-monitor",
    { role: "group", "aria-label": `Monitor of ${about.title}`, "data-lm-suppress-shortcuts": "true" },
    element(
      "div",
      "elfm-monitor-head",
      {},
      element("h4", "", {}, about.title),
      doing,
      element("div", "elfm-monitor-tools", { role: "toolbar", "aria-label": "Monitor" }, pause, note, mark, save),
    ),
    first.root,
    grid,
    said,
  );
  for (const one of ["celsius", "watts", "gpu", "npu", "pressure"]) dials[one].root.hidden = true;
  el.replaceChildren(root);

  const send = (message) => {
    try {
      model.send({ view, ...message });
    } catch {
      // the kernel is gone; `silence` will say so
    }
  };

  // What the model is doing, in words.
  function told() {
    if (status.closed) return "the model was closed";
    if (status.held) return "paused";
    const tokens = `${(status.tokens ?? 0).toLocaleString("en")} tokens`;
    if (status.doing === "prefill") return `evaluating ${tokens}`;
    if (status.doing === "reply") return `writing, ${tokens}`;
    return status.tokens ? `idle, last reply ${tokens}` : "idle";
  }

  function drawStatus() {
    doing.textContent = told();
    pause.textContent = status.held ? "Resume" : "Pause";
    pause.setAttribute("aria-pressed", String(Boolean(status.held)));
    for (const one of [pause, mark, note]) one.disabled = Boolean(status.closed);
  }

  function chart(dial, name, scale) {
    const { line, area } = trace(history, name, scale, seconds, gap);
    dial.path("line", line);
    dial.path("area", area);
    const end = history.now("at");
    dial.path(
      "mark",
      marks
        .map((one) => Math.round(1000 * (1 - (end - one.at) / seconds)))
        .filter((x) => x >= 0)
        .map((x) => `M${x} 0L${x} 100`)
        .join(""),
    );
  }

  // Reported parts first, then what else the process holds; what it has not touched yet is paler.
  function drawFall(resident) {
    const parts = about.held.map((one) => ({ ...one }));
    const whole = parts.reduce((sum, one) => sum + one.mib, 0);
    if (resident > whole) parts.push({ name: "other", look: "other", mib: resident - whole });
    const room = 1.08 * Math.max(resident, whole, about.predicted ?? 0);
    if (fall.children.length !== parts.length) {
      fall.replaceChildren(...parts.map((one) => element("i", `elfm-${one.look}`)));
      keys.replaceChildren(
        ...parts.map((one) => element("span", "", {}, element("i", `elfm-key elfm-${one.look}`), element("span"))),
        ...(about.predicted ? [element("span", "", {}, element("i", "elfm-dash"), `predicted peak ${memory(about.predicted)}`)] : []),
      );
    }
    let before = 0;
    parts.forEach((one, place) => {
      fall.children[place].style.width = `${(100 * one.mib) / room}%`;
      fall.children[place].classList.toggle("elfm-untouched", before >= resident);
      keys.children[place].lastChild.textContent = `${one.name} ${memory(one.mib)}`;
      before += one.mib;
    });
    line.hidden = !about.predicted;
    if (about.predicted) line.style.left = `${(100 * about.predicted) / room}%`;
  }

  function draw(force = false) {
    if (!history.rows.length) return;
    const now = performance.now();
    if (!force && calm.matches && now - drawn < CALM) return;
    drawn = now;
    const resident = history.now("resident");
    const available = history.now("available");
    const swapped = history.now("swapped");
    const beside = [Number.isFinite(available) ? `${memory(available)} available` : "", swapped >= 1 ? `${memory(swapped)} swapped out` : ""];
    dials.memory.say(memory(resident), "resident", beside.filter(Boolean).join(", "));
    const top = 1.08 * Math.max(history.most_of("resident"), about.predicted ?? 0);
    chart(dials.memory, "resident", [0, top]);
    if (about.predicted) {
      const y = (100 - (100 * about.predicted) / top).toFixed(1);
      dials.memory.path("predicted", `M0 ${y}L1000 ${y}`);
    }
    drawFall(resident);

    const speed = history.now("speed");
    const first = Number.isFinite(status.first) && status.first !== null ? `first token ${status.first < 1 ? `${Math.round(1000 * status.first)} ms` : `${status.first.toFixed(1)} s`}` : "";
    if (Number.isFinite(speed)) dials.speed.say(speed.toFixed(1), "tokens/s", first);
    else dials.speed.say("–", "tokens/s", first);
    chart(dials.speed, "speed", [0, 1.1 * Math.max(1, history.most_of("speed"))]);

    const cores = history.now("cores");
    const busy = history.now("busy");
    const all = Number.isFinite(busy) ? `all programs ${Math.round(100 * busy)} %` : "";
    dials.cores.say(Number.isFinite(cores) ? cores.toFixed(1) : "–", `of ${about.cores}`, all);
    chart(dials.cores, "cores", [0, Math.max(1, about.cores)]);
    history.cores().forEach((share, place) => bars.children[place]?.style.setProperty("--share", `${Math.round(100 * (share || 0))}%`));

    for (const name of ["celsius", "watts", "npu", "gpu"]) dials[name].root.hidden = !history.known(name);
    if (history.known("celsius")) {
      const held = status.reasons?.length > 0;
      dials.celsius.say(Number.isFinite(history.now("celsius")) ? history.now("celsius").toFixed(0) : "–", "°C", held ? status.reasons.join(", ") : "");
      dials.celsius.note.className = held ? "elfm-alarm" : "";
      chart(dials.celsius, "celsius", [20, Math.max(90, history.most_of("celsius"))]);
      drawHeld(dials.celsius);
    }
    if (history.known("watts")) {
      dials.watts.say(Number.isFinite(history.now("watts")) ? history.now("watts").toFixed(1) : "–", "W");
      chart(dials.watts, "watts", [0, 1.1 * Math.max(1, history.most_of("watts"))]);
    }
    if (history.known("gpu")) {
      const held = history.now("gpu_memory");
      dials.gpu.say(Number.isFinite(history.now("gpu")) ? (100 * history.now("gpu")).toFixed(0) : "–", "%", Number.isFinite(held) ? memory(held) : "");
      chart(dials.gpu, "gpu", [0, 1]);
    }
    if (history.known("npu")) {
      dials.npu.say(Number.isFinite(history.now("npu")) ? (100 * history.now("npu")).toFixed(0) : "–", "%");
      chart(dials.npu, "npu", [0, 1]);
    }
    const notable = history.most_of("some") >= 1;
    dials.pressure.root.hidden = !notable;
    if (notable) {
      const full = history.now("full");
      dials.pressure.say(history.now("some").toFixed(0), "% of 10 s", full >= 1 ? `all tasks ${full.toFixed(0)} %` : "");
      chart(dials.pressure, "some", [0, Math.max(10, history.most_of("some"))]);
    }
  }

  // Bands where something slowed the machine down.
  function drawHeld(dial) {
    const [place, at] = [history.names.get("throttled"), history.names.get("at")];
    const end = history.now("at");
    const width = Math.max(3, 1000 / about.drawn);
    const bands = history.rows.filter((row) => row[place] > 0).map((row) => Math.round(1000 * (1 - (end - row[at]) / seconds)));
    dial.path("held", bands.filter((x) => x >= 0).map((x) => `M${x - width} 0H${x}V100H${x - width}Z`).join(""));
  }

  function hear(message, buffers) {
    // Something was missed. Python may be busy and answer late, so what is here is drawn meanwhile.
    if (message.kind === "rows" && message.seq !== seq + 1) send({ kind: "hello", visible: visible() });
    if (message.kind === "history") {
      history.clear();
      marks = [];
    }
    if (message.kind !== "status") {
      seq = message.seq;
      heard = performance.now();
      if (buffers?.[0]) history.add(buffers[0]);
    }
    marks.push(...message.marks);
    marks = marks.slice(-about.drawn);
    if (message.kind === "rows") for (const one of message.marks) said.textContent = `marked${one.note ? `: ${one.note}` : ""}`;
    const before = status;
    status = message.status;
    if (status.saved && status.saved !== before.saved && message.kind === "status") said.textContent = `saved: ${status.saved}`;
    if (status.problem && status.problem !== before.problem) said.textContent = status.problem;
    drawStatus();
    if (visible()) draw(message.kind === "history");
  }

  let shown = false;
  const visible = () => shown && document.visibilityState === "visible";
  const beat = () => {
    send({ kind: "beat", visible: visible() });
    if (visible() && !status.held && !status.closed && performance.now() - heard > SILENT) doing.textContent = "the kernel does not answer";
  };
  let told_visible = null;
  const look = () => {
    if (visible() === told_visible) return;
    told_visible = visible();
    if (told_visible) {
      heard = performance.now();
      draw(true);
    }
    send({ kind: seq === null && told_visible ? "hello" : "beat", visible: told_visible });
  };
  const eye = new IntersectionObserver((entries) => {
    shown = entries[entries.length - 1].isIntersecting;
    look();
  });
  eye.observe(root);
  document.addEventListener("visibilitychange", look);
  const pulse = setInterval(() => visible() && beat(), BEAT);
  const leave = () => send({ kind: "gone" });
  window.addEventListener("pagehide", leave);

  const remark = () => {
    send({ kind: "mark", note: note.value.trim() });
    note.value = "";
  };
  pause.addEventListener("click", () => send({ kind: status.held ? "resume" : "pause" }));
  mark.addEventListener("click", remark);
  note.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter") remark();
  });
  save.addEventListener("click", () => {
    said.textContent = "saving…";
    send({ kind: "save" });
  });
  model.on("msg:custom", hear);
  drawStatus();
  dials.memory.say("–");
  dials.speed.say("–", "tokens/s");
  dials.cores.say("–", `of ${about.cores}`);

  return () => {
    clearInterval(pulse);
    eye.disconnect();
    document.removeEventListener("visibilitychange", look);
    window.removeEventListener("pagehide", leave);
    model.off("msg:custom", hear);
    leave();
  };
}

export default { render };
