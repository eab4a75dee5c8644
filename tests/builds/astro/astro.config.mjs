import { defineConfig } from "astro/config";

export default defineConfig({ site: "https://shop.example.com", devToolbar: { enabled: false } });
