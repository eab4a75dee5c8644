// Two pages and the manifest of Rsbuild.
import { defineConfig } from "@rsbuild/core";

export default defineConfig({
  source: { entry: { index: "./src/main.js", about: "./src/about.js" } },
  html: { template: "./page.html" },
  output: { manifest: true, sourceMap: { js: "source-map" }, dataUriLimit: 1024 },
});
