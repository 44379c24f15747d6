// Reads the exported documents from a folder, and has the tools they are made for judge them:
// AsyncAPI's own parser and modelina, the TypeScript compiler, and Mermaid.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = process.argv[2];
const here = dirname(fileURLToPath(import.meta.url));
const read = (name) => readFileSync(join(folder, name), "utf8");

function judge(tool, name) {
  const said = JSON.parse(execFileSync(process.execPath, [join(here, "judge.mjs"), tool, join(folder, name)], { encoding: "utf8" }));
  if (said.errors.length > 0) {
    throw new Error(`${name}: ${said.errors.join("; ")}`);
  }
  return said;
}

function asyncApi() {
  judge("async-api", "async-api-3.1.json");
  const { models } = judge("async-api", "async-api.json");
  const unnamed = Object.keys(models).filter((name) => name.startsWith("Anonymous") || name === "Root");
  if (unnamed.length > 0) {
    throw new Error(`types without a name: ${unnamed}`);
  }
  const { channels, operations } = JSON.parse(read("async-api.json"));
  const counts = [channels, operations, models].map((all) => Object.keys(all).length);
  return `${counts[0]} channels, ${counts[1]} operations, no errors; modelina makes ${counts[2]} types`;
}

function typescript() {
  const tsc = join(here, "node_modules", "typescript", "bin", "tsc");
  const check = (name, text) => {
    writeFileSync(join(folder, name), text);
    return execFileSync(process.execPath, [tsc, "--strict", "--noEmit", join(folder, name)], { encoding: "utf8" });
  };
  const fits = `import type { Events, EventName } from "./events";
const opened: Events["issues.opened"] = {
  issue: { number: 7, title: "It is slow" },
  repository: { full_name: "a/b" },
  sender: { id: 1, login: "alice" },
};
const name: EventName = "issues.opened";
console.log(opened, name);
`;
  check("fits.ts", fits);
  // It must be able to fail.
  for (const [right, wrong] of [["number: 7", 'number: "7"'], ['login: "alice"', "log: 1"], ['= "issues.opened"', '= "issues.closed"']]) {
    let said = "";
    try {
      check("wrong.ts", fits.replace(right, wrong));
    } catch (error) {
      said = error.stdout;
    }
    if (!said.includes("error TS")) {
      throw new Error(`tsc accepts ${wrong}`);
    }
  }
  return "tsc --strict accepts a payload that fits, and refuses three that do not";
}

async function mermaid() {
  const { JSDOM } = await import("jsdom");
  const { window } = new JSDOM("<!doctype html><body></body>", { pretendToBeVisual: true });
  // What a browser measures.
  window.SVGElement.prototype.getBBox = () => ({ x: 0, y: 0, width: 100, height: 20 });
  window.SVGElement.prototype.getComputedTextLength = () => 100;
  Object.assign(globalThis, { window, document: window.document, Element: window.Element });
  const { default: mermaid } = await import("mermaid");
  mermaid.initialize({ startOnLoad: false, flowchart: { htmlLabels: false }, maxEdges: 10_000 });
  const text = read("catalog.mmd");
  const { svg } = await mermaid.render("catalog", text);
  const nodes = text.split("\n").filter((line) => /^ {2}[eh]\d+[[(]/.test(line)).length;
  const drawn = svg.match(/class="node /g)?.length ?? 0;
  if (drawn !== nodes) {
    throw new Error(`${drawn} of ${nodes} nodes are drawn`);
  }
  return `${drawn} nodes drawn`;
}

for (const [name, validate] of Object.entries({ asyncApi, typescript, mermaid })) {
  console.log(`${name}: ${await validate()}`);
}
