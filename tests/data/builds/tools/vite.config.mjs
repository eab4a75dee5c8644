export default { base:'/shop/', build:{outDir:'vite-workbox', manifest:true} }
