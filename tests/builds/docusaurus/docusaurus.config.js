export default {
  title: "Corner shop",
  url: "https://docs.example.com",
  baseUrl: "/manual/",
  favicon: "favicon.ico",
  onBrokenLinks: "throw",
  presets: [["classic", { docs: { routeBasePath: "/", sidebarPath: "./sidebars.js" }, blog: false, theme: { customCss: "./src/css/custom.css" } }]],
  themeConfig: { navbar: { title: "Corner shop", logo: { alt: "", src: "flag-PORTUGAL.svg" } } },
};
