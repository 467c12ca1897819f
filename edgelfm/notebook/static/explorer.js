// The list of ways that fit, and the chosen one in full. Python sends `told`, in which everything is escaped already;
// which way is chosen is `selected`, and goes both ways.

function element(name, look, attributes = {}) {
  const made = document.createElement(name);
  if (look) made.className = look;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const field = element("textarea", "", { readonly: "" }); // a board is often reached by plain http
  field.value = text;
  field.style.cssText = "position:fixed;opacity:0";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("the browser did not allow it");
}

let views = 0;

function render({ model, el }) {
  const name = `elfm-explorer-${(views += 1)}`;
  const root = element("div", "elfm elfm-explorer", { "data-lm-suppress-shortcuts": "true" });
  const summary = element("p", "elfm-summary", { role: "status", "aria-live": "polite" });
  const problem = element("div", "elfm-problem", { role: "alert" });
  const list = element("div", "elfm-ways", { role: "listbox", tabindex: "0", "aria-label": "Ways that fit, best first" });
  const chosen = element("section", "elfm-chosen", { "aria-label": "The chosen way" });
  const title = element("h4");
  const line = element("div", "elfm-line");
  const command = element("code");
  const button = element("button", "", { type: "button" });
  const figures = element("div");
  const below = element("div");
  const folds = {};
  for (const [key, words] of [["bill", "Its memory, part by part"], ["settings", "Its settings, and why"]]) {
    const fold = element("details");
    fold.append(element("summary"), element("div"));
    fold.firstChild.textContent = words;
    folds[key] = fold;
  }
  button.textContent = "Copy";
  line.append(command, button);
  chosen.append(title, line, figures, ...Object.values(folds));
  root.append(summary, problem, list, chosen, below);
  el.replaceChildren(root);

  const ways = () => model.get("told").candidates ?? [];
  const place = () => Math.min(Math.max(model.get("selected"), 0), ways().length - 1);

  function drawList() {
    const told = model.get("told");
    if (summary.textContent !== told.summary) summary.textContent = told.summary ?? "";
    problem.innerHTML = told.problem ?? "";
    problem.hidden = !told.problem;
    list.hidden = chosen.hidden = !ways().length;
    list.replaceChildren(
      ...ways().map((one, at) => {
        const row = element("div", "elfm-way", { role: "option", id: `${name}-${at}`, "aria-label": one.label });
        for (const part of ["name", "memory", "speed"]) {
          const cell = element("div", `elfm-way-${part}`);
          cell.innerHTML = one[part];
          row.append(cell);
        }
        row.addEventListener("click", () => choose(at));
        return row;
      }),
    );
    const open = new Map([...below.querySelectorAll("details")].map((one) => [kind(one), one.open]));
    below.innerHTML = told.below ?? "";
    for (const fold of below.querySelectorAll("details")) fold.open = open.get(kind(fold)) ?? false;
    drawChosen();
  }

  // What a fold is about, whatever number it begins with.
  const kind = (fold) => fold.firstElementChild.textContent.replace(/^\d+ ways? (was|were) /, "");

  function drawChosen() {
    const at = place();
    for (const [index, row] of [...list.children].entries()) {
      row.setAttribute("aria-selected", String(index === at));
    }
    const one = ways()[at];
    if (!one) return list.removeAttribute("aria-activedescendant");
    list.setAttribute("aria-activedescendant", `${name}-${at}`);
    title.textContent = one.title;
    if (command.textContent !== one.command) button.textContent = "Copy";
    command.textContent = one.command;
    figures.innerHTML = one.facts;
    for (const [key, fold] of Object.entries(folds)) fold.lastChild.innerHTML = one[key];
  }

  function choose(at) {
    const to = Math.min(Math.max(at, 0), ways().length - 1);
    if (to < 0 || to === model.get("selected")) return;
    model.set("selected", to);
    model.save_changes();
    list.children[to]?.scrollIntoView({ block: "nearest" });
  }

  list.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: place() + 1, ArrowUp: place() - 1, Home: 0, End: ways().length - 1 };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    choose(steps[event.key]);
  });
  button.addEventListener("click", async () => {
    try {
      await copy(command.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(command); // then Ctrl+C does it
      button.textContent = "Press Ctrl+C";
    }
  });

  model.on("change:told", drawList);
  model.on("change:selected", drawChosen);
  drawList();
  return () => {
    model.off("change:told", drawList);
    model.off("change:selected", drawChosen);
  };
}

export default { render };
