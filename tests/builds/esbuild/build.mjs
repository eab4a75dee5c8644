// esbuild writes no pages: this script puts the hashed names into a template, and leaves the metafile beside them.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { basename, relative } from "node:path";
import { build } from "esbuild";

const result = await build({
  entryPoints: ["src/main.js", "src/about.js"],
  bundle: true,
  splitting: true,
  format: "esm",
  minify: true,
  sourcemap: true,
  metafile: true,
  outdir: "dist/static",
  entryNames: "[name]-[hash]",
  chunkNames: "chunks/[name]-[hash]",
  assetNames: "media/[name]-[hash]",
  loader: { ".png": "file", ".svg": "file" },
});

const outputs = Object.entries(result.metafile.outputs);
for (const entry of ["main", "about"]) {
  const [script, { cssBundle }] = outputs.find(([, output]) => output.entryPoint === `src/${entry}.js`);
  const names = { SCRIPT: script, STYLE: cssBundle };
  const page = readFileSync("page.html", "utf8").replace(/SCRIPT|STYLE/g, (name) => relative("dist", names[name]));
  writeFileSync(`dist/${entry === "main" ? "index" : basename(entry)}.html`, page);
}
writeFileSync("dist/meta.json", JSON.stringify(result.metafile));
cpSync("public", "dist", { recursive: true });
