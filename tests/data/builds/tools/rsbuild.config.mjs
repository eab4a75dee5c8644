export default { source:{entry:{index:'./src/index.js'}}, output:{manifest:true, distPath:{root:'rsbuild'}} }
