import {generateSW} from 'workbox-build'
const r = await generateSW({globDirectory:'vite-workbox', swDest:'vite-workbox/sw.js', globPatterns:['**/*.{js,css,html}'], dontCacheBustURLsMatching:/-[A-Za-z0-9_-]{8}\./, sourcemap:false})
console.log(r.count)
