// The same name for each build, as people set it to have equal names on several hosts.
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

export default {
  output: "export",
  basePath: "/shop",
  generateBuildId: () => "shop",
  trailingSlash: true,
  turbopack: { root: dirname(fileURLToPath(import.meta.url)) },
};
