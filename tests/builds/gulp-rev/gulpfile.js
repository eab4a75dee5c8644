// A classic pipeline: gulp-rev puts md5 into the names, gulp-rev-rewrite into the references, rev-manifest.json lists them.
import { dest, series, src } from "gulp";
import rev from "gulp-rev";
import rewrite from "gulp-rev-rewrite";
import { cpSync, readFileSync } from "node:fs";

const read = { encoding: false, base: "site" };

function hashed() {
  return src(["site/css/*", "site/js/*", "site/img/*"], read)
    .pipe(rev())
    .pipe(rewrite())
    .pipe(dest("dist"))
    .pipe(rev.manifest())
    .pipe(dest("dist"));
}

function pages() {
  const manifest = readFileSync("dist/rev-manifest.json");
  cpSync("public", "dist", { recursive: true });
  return src("site/*.html", read).pipe(rewrite({ manifest })).pipe(dest("dist"));
}

export default series(hashed, pages);
