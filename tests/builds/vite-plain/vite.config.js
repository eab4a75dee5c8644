// No manifest: names alone, and the pages lie at another host than all that they load.
import { globSync } from "node:fs";
import { defineConfig } from "vite";

export default defineConfig({
  base: "https://cdn.example.com/vite-plain/",
  build: {
    assetsInlineLimit: 1024,
    rollupOptions: { input: globSync("{*.html,*/index.html}", { exclude: ["node_modules", "dist"] }) },
  },
});
