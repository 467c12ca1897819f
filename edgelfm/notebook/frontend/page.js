// Small pieces of a page.

/** An element with classes, attributes and text. */
export function make(name, classes = "", attributes = {}, text = "") {
  const element = document.createElement(name);
  if (classes) element.className = classes;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

/** A button that says what it does to those who do not see it. */
export function button(classes, label, text, does) {
  const element = make("button", classes, { type: "button", title: label, "aria-label": label }, text);
  element.addEventListener("click", does);
  return element;
}

/** Give a text to the person as a file. It comes from this page, so no server is asked. */
export function download(name, text, type) {
  const link = make("a", "", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Put text on the clipboard, also where the page does not come over https and has no clipboard of its own. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", "", { style: "position:fixed;opacity:0" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
