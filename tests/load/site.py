#!/usr/bin/env python3
"""The site of `make load`: small builds, so that a page load is four requests and a million of them fit into a run.

    site.py FOLDER COUNT        writes FOLDER/v1 to FOLDER/vCOUNT, as Vite would

Each page names a script and a style sheet, the script a lazy chunk. The script and the chunk are of one version only; three versions in turn share a
style sheet, so that names are also reused. Equal arguments give equal bytes. It must never write outside of FOLDER.
"""
import hashlib
import json
import pathlib
import sys

PAGES = ("index.html", "about.html")


def named(kind, ending, text):
    """A file whose name has the hash of its bytes."""
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.{ending}", text


def build(version):
    """Every file of a version, by its path."""
    number = int(version[1:])
    style, style_text = named("style", "css", f"body{{color:#{number % 3:03d}}}\n" + "p{margin:0}\n" * 40)
    lazy, lazy_text = named("lazy", "js", f'export const part = "lazy part of {version}";\n' + "// padding\n" * 40)
    app, app_text = named("app", "js", f'const version = "{version}";\nimport("./{lazy}").then((m) => console.log(version, m.part));\n' + "// padding\n" * 80)
    head = f'<meta name="shop-version" content="{version}"><script type="module" src="./assets/{app}"></script><link rel="stylesheet" href="./assets/{style}">'
    files = {page: f"<!doctype html>\n<html><head><title>{page}</title>{head}</head><body>{version}</body></html>\n" for page in PAGES}
    files |= {f"assets/{app}": app_text, f"assets/{lazy}": lazy_text, f"assets/{style}": style_text}
    entry = {"file": f"assets/{app}", "isEntry": True, "dynamicImports": ["lazy.js"], "css": [f"assets/{style}"]}
    manifest = {page: {**entry, "src": page} for page in PAGES} | {"lazy.js": {"file": f"assets/{lazy}", "src": "lazy.js", "isDynamicEntry": True}}
    return files | {".vite/manifest.json": json.dumps(manifest, indent=1, sort_keys=True)}


def main(folder, count):
    for number in range(1, count + 1):
        for path, text in build(f"v{number}").items():
            file = folder / f"v{number}" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
