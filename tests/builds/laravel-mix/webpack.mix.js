// Laravel Mix as its documentation has it: mix.version() writes ?id= into mix-manifest.json, names stay as they are.
const mix = require("laravel-mix");

mix
  .setPublicPath("dist")
  .js("src/main.js", "js")
  .js("src/about.js", "js")
  .css("src/style.css", "css")
  .version();
