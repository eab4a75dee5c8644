export default {
  title: "Corner shop",
  head: [["link", { rel: "icon", href: "/favicon.ico" }], ["link", { rel: "manifest", href: "/site.webmanifest" }]],
  themeConfig: {
    nav: [{ text: "Guide", link: "/guide/" }],
    sidebar: [{ text: "Guide", items: [{ text: "Start", link: "/guide/" }, { text: "Prices", link: "/guide/prices" }] }],
    search: { provider: "local" },
  },
};
