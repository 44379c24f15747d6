// Judges one exported document with the tool it is made for, and prints what that says as JSON:
//
//   judge.mjs async-api DOCUMENT     the parser's errors, and the types that modelina makes of it
//   judge.mjs typescript FILE...     the compiler's errors
//   judge.mjs json-schema CASES      of each {schema, values}, which values ajv accepts
//   judge.mjs keywords               the keywords of TypeScript
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

async function asyncApi(file) {
  const [{ Parser }, { TypeScriptGenerator }] = [await import("@asyncapi/parser"), await import("@asyncapi/modelina")];
  const text = readFileSync(file, "utf8");
  const { document, diagnostics } = await new Parser().parse(text);
  const errors = diagnostics.filter((diagnostic) => diagnostic.severity === 0).map(({ message, path }) => `${path.join("/")}: ${message}`);
  if (!document || errors.length > 0) {
    return { errors, models: {} };
  }
  const models = await new TypeScriptGenerator({ modelType: "interface" }).generate(JSON.parse(text));
  return { errors, models: Object.fromEntries(models.map((model) => [model.modelName, model.result])) };
}

function typescript(...files) {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const options = ["--strict", "--noEmit", "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler"];
  try {
    execFileSync(process.execPath, [tsc, ...options, ...files], { encoding: "utf8" });
    return [];
  } catch (error) {
    return error.stdout.split("\n").filter((line) => line !== "");
  }
}

async function jsonSchema(file) {
  const [{ default: Ajv }, { default: formats }] = [await import("ajv/dist/2020.js"), await import("ajv-formats")];
  return JSON.parse(readFileSync(file, "utf8")).map(({ schema, values }) => {
    const validate = formats(new Ajv({ strict: false })).compile(schema);
    return values.map((value) => validate(value));
  });
}

async function keywords() {
  const { default: ts } = await import("typescript");
  const kinds = Array.from({ length: ts.SyntaxKind.LastKeyword + 1 }, (_, kind) => kind).slice(ts.SyntaxKind.FirstKeyword);
  return kinds.map((kind) => ts.tokenToString(kind));
}

const [tool, ...rest] = process.argv.slice(2);
const judges = { "async-api": asyncApi, typescript, "json-schema": jsonSchema, keywords };
process.stdout.write(JSON.stringify(await judges[tool](...rest)));
