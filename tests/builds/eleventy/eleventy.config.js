// Pages of Markdown, pictures in sizes and forms by eleventy-img, all else copied under its own name.
import { eleventyImageTransformPlugin } from "@11ty/eleventy-img";

export default function (config) {
  config.addPassthroughCopy({ public: "/" });
  config.addPassthroughCopy({ "src/style.css": "style.css", "src/texture.png": "texture.png", "src/logo.svg": "logo.svg" });
  config.addPlugin(eleventyImageTransformPlugin, { formats: ["webp", "png"], widths: ["auto"] });
  config.ignores.add("README.md");
}

export const config = { dir: { input: "pages", includes: "../_includes", output: "_site" }, markdownTemplateEngine: "njk" };
