// A service worker with a precache list of workbox, and scripts for old browsers beside the modern ones; base /shop/.
import legacy from "@vitejs/plugin-legacy";
import { globSync } from "node:fs";
import { defineConfig } from "vite";
import { VitePWA } from "vite-plugin-pwa";

export default defineConfig({
  base: "/shop/",
  build: {
    manifest: true,
    assetsInlineLimit: 1024,
    rollupOptions: { input: globSync("{*.html,*/index.html}", { exclude: ["node_modules", "dist"] }) },
  },
  plugins: [
    legacy({ targets: ["defaults"], renderModernChunks: true }),
    VitePWA({
      injectRegister: "script",
      manifest: { name: "Corner shop", icons: [{ src: "icon-192.png", sizes: "192x192", type: "image/png" }] },
      workbox: { globPatterns: ["**/*.{js,css,html,svg,png}"], globIgnores: ["**/*-legacy-*"] },
    }),
  ],
});
