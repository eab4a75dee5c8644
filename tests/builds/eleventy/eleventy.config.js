// Pages of Markdown, pictures in sizes and forms by eleventy-img, all else copied under its own name.
import { eleventyImageTransformPlugin } from "@11ty/eleventy-img";

const pictures = { formats: ["webp", "png"], widths: ["auto"], urlPath: "/img/", outputDir: "_site/img/" };

export default function (config) {
  config.addPassthroughCopy({ public: "/" });
  for (const name of ["style.css", "texture.png", "logo.svg"]) config.addPassthroughCopy({ [`src/${name}`]: name });
  config.addPlugin(eleventyImageTransformPlugin, pictures);
}

export const config = {
  dir: { input: "pages", includes: "../_includes", output: "_site" },
  markdownTemplateEngine: "njk",
};
