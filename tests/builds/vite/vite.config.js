// Several pages, as Vite's guide lists them, and its manifest.
import { globSync } from "node:fs";
import { defineConfig } from "vite";

export default defineConfig({
  build: {
    manifest: true,
    sourcemap: true,
    assetsInlineLimit: 1024,
    rollupOptions: { input: globSync("{*.html,*/index.html}", { exclude: ["node_modules", "dist"] }) },
  },
});
