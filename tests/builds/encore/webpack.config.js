// As Symfony's documentation has it: versioned files below build/, entrypoints.json and manifest.json.
const Encore = require("@symfony/webpack-encore");

Encore.setOutputPath("web/build/")
  .setPublicPath("/build")
  .addEntry("main", "./src/main.js")
  .addEntry("about", "./src/about.js")
  .splitEntryChunks()
  .enableSingleRuntimeChunk()
  .cleanupOutputBeforeBuild()
  .enableVersioning(true)
  .copyFiles({ from: "./public", to: "pictures/[path][name].[hash:8].[ext]", pattern: /\.png$/ });

module.exports = Encore.getWebpackConfig();
