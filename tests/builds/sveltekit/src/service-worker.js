// Caches what SvelteKit lists: $service-worker names the files of the build and of static/.
import { build, files, version } from "$service-worker";

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(version).then((cache) => cache.addAll([...build, ...files])));
});
