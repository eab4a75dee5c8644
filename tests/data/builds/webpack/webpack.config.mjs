// One small application, built once for each way in which webpack's plugins write down what they made.
import fs from "node:fs";
import path from "node:path";
import HtmlWebpackPlugin from "html-webpack-plugin";
import MiniCssExtractPlugin from "mini-css-extract-plugin";
import { WebpackAssetsManifest } from "webpack-assets-manifest";
import { WebpackManifestPlugin } from "webpack-manifest-plugin";

const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);

function build(name, { publicPath, js, css, media, plugins, devtool = "source-map" }) {
  return {
    name,
    mode: "production",
    context: here,
    entry: { main: "./src/index.js" },
    devtool,
    output: { path: path.join(here, "builds", name), publicPath, filename: js, chunkFilename: js, assetModuleFilename: media, clean: true },
    module: {
      rules: [
        { test: /\.css$/, use: [MiniCssExtractPlugin.loader, "css-loader"] },
        { test: /\.svg$/, type: "asset/resource" },
      ],
    },
    plugins: [
      new HtmlWebpackPlugin({ template: "./src/page.html" }),
      new MiniCssExtractPlugin({ filename: css, chunkFilename: css }),
      ...plugins,
    ],
  };
}

// The statistics as `webpack --json=stats.json` writes them, less what is long or differs from machine to machine.
const told = { preset: "normal", modules: false, chunks: false, children: false, outputPath: false, timings: false, builtAt: false };

class StatsFile {
  apply(compiler) {
    compiler.hooks.done.tap("StatsFile", (stats) => {
      fs.writeFileSync(path.join(compiler.options.output.path, "stats.json"), JSON.stringify(stats.toJson(told), null, 1));
      fs.copyFileSync(path.join(here, "web-app.json"), path.join(compiler.options.output.path, "manifest.json"));
    });
  }
}

// What react-scripts 5 gives the plugin (config/webpack.config.js there).
const likeReactScripts = (seed, files, entrypoints) => ({
  files: files.reduce((manifest, file) => ({ ...manifest, [file.name]: file.path }), seed),
  entrypoints: entrypoints.main.filter((fileName) => !fileName.endsWith(".map")),
});

// Logical name -> hash alone.
const hashes = (seed, files) =>
  files.filter((file) => !/\.(map|html)$/.test(file.name)).reduce((map, file) => ({ ...map, [file.name]: file.path.match(/[0-9a-f]{8}/)[0] }), { version: "2026.11.21" });

const plain = { publicPath: "/static/", js: "js/[name].[contenthash].js", css: "css/[name].[contenthash].css", media: "media/[name].[contenthash][ext]" };
const short = { publicPath: "/", js: "static/js/[name].[contenthash:8].js", css: "static/css/[name].[contenthash:8].css", media: "static/media/[name].[contenthash:8][ext]" };

export default [
  build("manifest", { ...plain, plugins: [new WebpackManifestPlugin({})] }),
  build("assets-manifest", { ...plain, publicPath: "https://cdn.example.com/sign/", plugins: [new WebpackAssetsManifest({ entrypoints: true, publicPath: true })] }),
  build("react-scripts", { ...short, plugins: [new WebpackManifestPlugin({ fileName: "asset-manifest.json", publicPath: "/", generate: likeReactScripts })] }),
  build("stats", { publicPath: "auto", js: "[name].[contenthash:6].js", css: "[name].[contenthash:6].css", media: "[hash:6][ext]", devtool: false, plugins: [new StatsFile()] }),
  build("version-json", { ...short, devtool: false, plugins: [new WebpackManifestPlugin({ fileName: "version.json", publicPath: "/", generate: hashes })] }),
];
