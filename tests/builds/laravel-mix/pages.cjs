// What Blade's mix() does when a page is made: the manifest's URLs, with their ?id=, into a template.
const { cpSync, readFileSync, writeFileSync } = require("node:fs");

const manifest = JSON.parse(readFileSync("dist/mix-manifest.json", "utf8"));
for (const [page, script] of [["index", "/js/main.js"], ["about", "/js/about.js"]]) {
  const urls = { SCRIPT: manifest[script], STYLE: manifest["/css/style.css"] };
  writeFileSync(`dist/${page}.html`, readFileSync("page.html", "utf8").replace(/SCRIPT|STYLE/g, (name) => urls[name]));
}
cpSync("public", "dist", { recursive: true });
