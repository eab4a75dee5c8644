import * as esbuild from 'esbuild'; import fs from 'fs'
const r = await esbuild.build({entryPoints:['src/index.js'],bundle:true,splitting:true,format:'esm',outdir:'esbuild',entryNames:'[name]-[hash]',chunkNames:'chunks/[name]-[hash]',metafile:true,minify:true,sourcemap:true})
fs.writeFileSync('esbuild/meta.json', JSON.stringify(r.metafile))
