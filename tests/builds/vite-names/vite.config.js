// Vite's manifest beside names that people choose: short hashes, hashes alone, base 36, below folders of their own.
import { globSync } from "node:fs";
import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: {
    manifest: true,
    assetsInlineLimit: 1024,
    rollupOptions: {
      input: globSync("{*.html,*/index.html}", { exclude: ["node_modules", "dist"] }),
      output: {
        hashCharacters: "base36",
        entryFileNames: "e/[name].[hash:6].js",
        chunkFileNames: "c/[hash:10].js",
        assetFileNames: "[hash][extname]",
      },
    },
  },
});
