export default defineNuxtConfig({
  compatibilityDate: "2026-11-01",
  telemetry: false,
  css: ["~/assets/style.css"],
  app: { head: { link: [{ rel: "icon", href: "/favicon.ico" }, { rel: "manifest", href: "/site.webmanifest" }] } },
});
