// What Twig's encore_entry_script_tags() does when a page is made: the files of entrypoints.json into a template.
const { cpSync, readFileSync, writeFileSync } = require("node:fs");

const { entrypoints } = JSON.parse(readFileSync("web/build/entrypoints.json", "utf8"));
for (const [page, entry] of [["index", "main"], ["about", "about"]]) {
  const scripts = entrypoints[entry].js.map((url) => `<script src="${url}" defer></script>`);
  const styles = entrypoints[entry].css.map((url) => `<link rel="stylesheet" href="${url}">`);
  const template = readFileSync("page.html", "utf8");
  writeFileSync(`web/${page}.html`, template.replace("</head>", `${[...styles, ...scripts].join("\n")}\n</head>`));
}
cpSync("public", "web", { recursive: true });
