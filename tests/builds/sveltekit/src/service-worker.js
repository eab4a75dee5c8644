// Caches what SvelteKit lists: the files of the build and those of static/.
import { version } from "$app/env";
import { assets, immutable } from "$app/manifest";

const paths = [...immutable, ...assets].map(({ path }) => path);
self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(version).then((cache) => cache.addAll(paths)));
});
