// Rollup alone: names of entries and chunks with hashes in base 36, a page that a small plugin writes, styles as they are.
import { cpSync, readFileSync } from "node:fs";

const styles = {
  name: "styles",
  load(id) {
    if (!id.endsWith(".css")) return null;
    const url = (_, name) => `url("${name.slice(2)}")`;
    const source = readFileSync(id, "utf8").replace(/url\("([^"]*)"\)/g, url);
    this.emitFile({ type: "asset", fileName: id.split("/").pop(), source });
    return { code: "", moduleSideEffects: true };
  },
};

const pages = {
  name: "pages",
  generateBundle(_, bundle) {
    for (const entry of Object.values(bundle).filter((chunk) => chunk.isEntry)) {
      const page = readFileSync("page.html", "utf8");
      const names = { SCRIPT: entry.fileName, STYLE: entry.name === "main" ? "style.css" : "about.css" };
      const fileName = entry.name === "main" ? "index.html" : `${entry.name}.html`;
      this.emitFile({ type: "asset", fileName, source: page.replace(/SCRIPT|STYLE/g, (name) => names[name]) });
    }
  },
  writeBundle() {
    cpSync("public", "dist", { recursive: true });
    for (const name of ["texture.png", "logo.svg"]) cpSync(`src/${name}`, `dist/${name}`);
  },
};

export default {
  input: ["src/main.js", "src/about.js"],
  output: {
    dir: "dist",
    hashCharacters: "base36",
    entryFileNames: "js/[name]-[hash].js",
    chunkFileNames: "js/[name]-[hash].js",
  },
  plugins: [styles, pages],
};
