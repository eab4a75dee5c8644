// As webpack's guide on caching has it: contenthash in all names, pages by html-webpack-plugin, a runtime of its own.
import CopyPlugin from "copy-webpack-plugin";
import HtmlPlugin from "html-webpack-plugin";
import StylePlugin from "mini-css-extract-plugin";

const page = (name, filename) => new HtmlPlugin({ template: "page.html", chunks: [name], filename });

export default {
  mode: "production",
  devtool: "source-map",
  entry: { main: "./src/main.js", about: "./src/about.js" },
  output: {
    path: `${import.meta.dirname}/dist`,
    publicPath: "/shop/",
    filename: "static/[name].[contenthash].js",
    chunkFilename: "static/[name].[contenthash:10].js",
    assetModuleFilename: "static/media/[name].[contenthash:8][ext]",
    clean: true,
  },
  module: {
    rules: [
      { test: /\.css$/, use: [StylePlugin.loader, "css-loader"] },
      { test: /\.(png|svg)$/, type: "asset/resource" },
    ],
  },
  optimization: { moduleIds: "deterministic", runtimeChunk: "single" },
  plugins: [
    new StylePlugin({ filename: "static/[name].[contenthash].css" }),
    page("main", "index.html"),
    page("about", "about.html"),
    new CopyPlugin({ patterns: [{ from: "public" }] }),
  ],
};
