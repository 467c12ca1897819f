// Builds what the browser runs into ../static. `node build.mjs --check` only says whether what is there is up to date.

import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";

const check = process.argv.includes("--check");
const made = await build({
  entryPoints: ["chat.js"],
  bundle: true,
  format: "esm",
  target: "es2020",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  write: false,
  outdir: "../static",
});

const packages = ["markdown-it", "dompurify", "highlight.js", "entities", "linkify-it", "mdurl", "punycode.js", "uc.micro"];
const licences = ["What static/chat.js holds besides code of edgelfm, and under which licence."];
for (const name of packages) {
  const about = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
  const files = ["LICENSE", "LICENSE.txt", "LICENSE-MIT.txt", "license"];
  let text = null;
  for (const file of files) text ??= await readFile(`node_modules/${name}/${file}`, "utf8").catch(() => null);
  if (text === null) throw new Error(`${name} carries no licence`);
  licences.push(`\n${"=".repeat(80)}\n${name} ${about.version} (${about.license})\n${"=".repeat(80)}\n\n${text.trim()}`);
}

const outputs = [
  ["../static/chat.js", made.outputFiles[0].text],
  ["../static/chat.LICENSES.txt", `${licences.join("\n")}\n`],
];
let stale = false;
for (const [path, text] of outputs) {
  if (check) {
    if ((await readFile(path, "utf8").catch(() => "")) !== text) {
      console.error(`${path} is not what the sources build: npm run build`);
      stale = true;
    }
  } else {
    await writeFile(path, text);
    console.log(`${path}  ${(text.length / 1024).toFixed(0)} KiB`);
  }
}
process.exit(stale ? 1 : 0);
