#!/usr/bin/env python3
"""Publishes two versions of each build to a dev store and crawls what is stored, as a browser would ask for it.

It judges by its own readers of html, styles and scripts and its own table of types: never by Rollcall's code. It must never
use --immutable or --unversioned, listen on anything but loopback, or end a process that it did not start.

usage: crawl.py --program ROLLCALL --builds FOLDER TOOL…   (FOLDER/TOOL/{v1,v2}; what is expected is in TOOL/tool.json)
"""

import argparse
import hashlib
import html.parser
import http.client
import json
import os
import pathlib
import posixpath
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
BUCKET = "builds"
KEY, SECRET = "builds", "only-for-this-test"
YEAR = "public, max-age=31536000, immutable"
RECHECK = "no-cache"
TYPES = {
    "avif": "image/avif", "css": "text/css", "gif": "image/gif", "html": "text/html", "ico": "image/x-icon",
    "jpeg": "image/jpeg", "jpg": "image/jpeg", "js": "text/javascript", "json": "application/json",
    "map": "application/json", "mjs": "text/javascript", "pdf": "application/pdf", "png": "image/png",
    "svg": "image/svg+xml", "ttf": "font/ttf", "txt": "text/plain", "wasm": "application/wasm",
    "webmanifest": "application/manifest+json", "webp": "image/webp", "woff": "font/woff", "woff2": "font/woff2",
    "xml": "application/xml", "eot": "application/vnd.ms-fontobject", "inv": "application/octet-stream",
    "gz": "application/gzip", "md": "text/markdown", "rst": "text/plain", "pack": "application/octet-stream",
    "scss": "text/plain", "LICENSE": "text/plain",
}
# Files that came out of a build with others' sources or notices: no visitor loads them.
UNSEEN = (".map", ".LICENSE.txt", ".d.ts")


class Faults:
    """What is wrong with one tool: each line names tool, file and reason."""

    def __init__(self, tool):
        self.tool, self.lines = tool, []

    def add(self, file, reason):
        line = f"{self.tool}: {file}: {reason}"
        if line not in self.lines:
            self.lines.append(line)


# --- the store -------------------------------------------------------------------------------------------------------


class Store:
    """`rollcall dev-store` in a folder of its own, ended by its process id."""

    def __init__(self, program, folder):
        self.log = open(folder / "store.log", "w+")
        command = [program, "dev-store", "--listen", "127.0.0.1:0", "--folder", str(folder / "store"), "--bucket", BUCKET]
        environment = {**os.environ, "ROLLCALL_DEV_STORE_SECRET_ACCESS_KEY": SECRET}
        command += ["--access-key-id", KEY]
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            self.address = self.listening()
        except BaseException:
            self.end()
            raise
        self.connection = http.client.HTTPConnection(self.address, timeout=30)

    def listening(self):
        until = time.monotonic() + 30
        while time.monotonic() < until and self.process.poll() is None:
            self.log.seek(0)
            found = re.search(r"address=(127\.0\.0\.1:\d+)", re.sub(r"\x1b\[[0-9;]*m", "", self.log.read()))
            if found:
                return found[1]
            time.sleep(0.05)
        self.log.seek(0)
        raise SystemExit(f"crawl: the dev store does not listen: {self.log.read()}")

    def get(self, key):
        """Status, headers (lower case) and bytes of an object, as an anonymous visitor gets them."""
        path = f"/{BUCKET}/{urllib.parse.quote(key, safe='/-._~')}"
        for attempt in (1, 2):
            try:
                self.connection.request("GET", path)
                answer = self.connection.getresponse()
                return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            except (http.client.HTTPException, ConnectionError):
                self.connection.close()
                if attempt == 2:
                    raise

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


# --- reading a build as a browser does -------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """URLs of one page: what a browser loads with it, and where its links lead."""

    LOADS = {
        ("script", "src"), ("img", "src"), ("source", "src"), ("audio", "src"), ("video", "src"), ("video", "poster"),
        ("embed", "src"), ("object", "data"), ("track", "src"), ("input", "src"), ("use", "href"), ("image", "href"),
        ("use", "xlink:href"), ("image", "xlink:href"), ("iframe", "src"), ("body", "background"),
        ("astro-island", "component-url"), ("astro-island", "renderer-url"),
    }
    RELS = {"stylesheet", "icon", "apple-touch-icon", "mask-icon", "manifest", "modulepreload", "preload", "prefetch"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.base, self.loads, self.links, self.styles, self.inert, self.inside = None, [], [], [], 0, None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.inside = tag if tag in ("style", "script") else None
        self.inert += tag == "template"
        if self.inert:
            return
        values = {name: value for name, value in attributes if value}
        if tag == "base" and "href" in values and self.base is None:
            self.base = values["href"]
        if "style" in values:
            self.styles.append(values["style"])
        rels = set(values.get("rel", "").lower().split())
        if tag == "link" and "href" in values and rels & self.RELS:
            self.loads.append(values["href"])
        if tag in ("a", "area") and "href" in values and "download" not in values:
            self.links.append(values["href"])
        self.loads += [value for name, value in values.items() if (tag, name) in self.LOADS]
        for name in ("srcset", "imagesrcset"):
            if name in values and tag in ("img", "source", "link"):
                self.loads += [part.split()[0] for part in re.split(r",\s+|,$", values[name]) if part.strip()]

    def handle_endtag(self, tag):
        self.inside = None
        self.inert -= tag == "template" and self.inert > 0

    def handle_data(self, data):
        if self.inside == "style" and not self.inert:
            self.styles.append(data)


def style_urls(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    quoted = r"""url\(\s*(?:"([^"]*)"|'([^']*)'|([^"'()\s]+))\s*\)|@import\s+(?:"([^"]*)"|'([^']*)')"""
    for found in re.finditer(quoted, text):
        url = next((group for group in found.groups() if group), "")
        if url and not url.startswith("#"):
            yield url.replace("\\", "")


def script_strings(text):
    return set(re.findall(r"""["'`]([^"'`\s\\<>{}]{2,300})["'`]""", text))


class Site:
    """A build's folder under the URLs at which visitors find it."""

    def __init__(self, folder, table):
        self.folder = folder
        self.files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        self.known = set(self.files)
        self.site = table["site"]
        self.assets = table.get("assets", self.site)
        self.elsewhere = table.get("elsewhere", [])
        self.fallback = table.get("fallback")

    def bytes(self, path):
        return (self.folder / path).read_bytes()

    def text(self, path):
        return self.bytes(path).decode("utf-8", "replace")

    def url(self, path):
        if path.endswith(".html"):
            path = re.sub(r"(^|/)index\.html$", r"\1", path)
            return self.site + urllib.parse.quote(path)
        return self.assets + urllib.parse.quote(path)

    def file_at(self, url, link=False):
        """The file that answers a URL; None for another host, False where nothing answers."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https"):
            return None
        bare = urllib.parse.urlunsplit(parts[:3] + ("", ""))
        own = {urllib.parse.urlsplit(base).netloc for base in (self.site, self.assets)}
        if parts.netloc not in own:
            return None
        for base in dict.fromkeys((self.assets, self.site)):
            if not (bare + "/").startswith(base):
                continue
            path = urllib.parse.unquote(bare[len(base):])
            tries = [path]
            if link or path == "" or path.endswith("/"):
                tries += [posixpath.join(path, "index.html"), f"{path}.html", f"{path}/index.html"]
            for name in tries:
                if name.lstrip("/") in self.known and not name.startswith("/"):
                    return name
        if any(re.fullmatch(pattern, parts.path) for pattern in self.elsewhere):
            return None
        if link and self.fallback and "." not in posixpath.basename(parts.path):
            return self.fallback
        return False

    def references(self, path):
        """(URL, kind) of what a file refers to: `load` must answer, `link` leads to a page, `string` only where it fits."""
        where, ending = self.url(path), path.rsplit(".", 1)[-1]
        if ending == "html":
            page = Page(self.text(path))
            base = urllib.parse.urljoin(where, page.base or "")
            found = [(url, "load") for url in page.loads] + [(url, "link") for url in page.links]
            found += [(url, "load") for style in page.styles for url in style_urls(style)]
            found += [(url, "string") for url in script_strings(self.text(path))]
            return [(urllib.parse.urljoin(base, url), kind) for url, kind in found]
        if ending == "css":
            return [(urllib.parse.urljoin(where, url), "load") for url in style_urls(self.text(path))]
        if ending == "webmanifest":
            listed = json.loads(self.text(path))
            icons = [icon["src"] for key in ("icons", "screenshots") for icon in listed.get(key, [])]
            return [(urllib.parse.urljoin(where, icon), "load") for icon in icons]
        if ending in ("js", "mjs"):
            strings = script_strings(self.text(path))
            bases = (where, self.assets, self.site)
            return [(urllib.parse.urljoin(base, url), "string") for url in strings for base in bases]
        return []

    def reached(self, faults):
        """Every file that the pages reach."""
        seen = {path for path in self.files if path.endswith(".html")}
        queue = sorted(seen)
        while queue:
            path = queue.pop()
            for url, kind in self.references(path):
                try:
                    file = self.file_at(url, link=kind == "link")
                except ValueError:
                    continue
                if file is False and kind != "string":
                    faults.add(path, f"its {kind} {url} answers nothing, as a browser resolves it")
                if file and file not in seen:
                    seen.add(file)
                    queue.append(file)
        return seen


# --- Rollcall --------------------------------------------------------------------------------------------------------


class Rollcall:
    def __init__(self, program, store, tool, table):
        self.program, self.store, self.tool = program, store, tool
        self.prefix = table.get("prefix", f"{tool}/")
        self.options = table.get("options", [])
        for option in self.options:
            assert not option.startswith(("--immutable", "--unversioned")), option

    def run(self, *arguments):
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        return subprocess.run([self.program, *arguments], env=environment, capture_output=True, text=True, timeout=300)

    def publish(self, folder, version, faults):
        to = ["--to", f"s3://{BUCKET}/{self.prefix}", "--endpoint", f"http://{self.store.address}", "--version", version]
        more = ["--output", "json", "--lint", "--retry-for", "20s", *self.options]
        done = self.run("publish", str(folder), *to, *more)
        if done.returncode != 0:
            faults.add(version, f"publish ended with {done.returncode}: {done.stderr.strip()}")
            return None
        return json.loads(done.stdout)

    def digest(self, folder):
        done = self.run("digest", str(folder), *self.options)
        return done.stdout.strip() or done.stderr.strip()

    def manifest(self, digest):
        key = f"{self.prefix}.rollcall/manifests/{digest.removeprefix('sha256:')}.json"
        status, _, body = self.store.get(key)
        assert status == 200, f"{key}: {status}"
        return {file["path"]: file for file in json.loads(body)["files"]}


def kind(entry):
    if entry["class"] == "Asset":
        return "immutable"
    return "unversioned" if entry.get("unversioned") else "page"


def matches(path, patterns):
    """`*` and `?` stay within a folder, `**` does not."""
    def expression(pattern):
        parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
        return "".join({"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)) for part in parts)
    return any(re.fullmatch(expression(pattern), path) for pattern in patterns)


def named_by_tool(path, table, *keys):
    """Whether the tool hashed this name: the table's patterns under these keys, without those of `plain`."""
    patterns = [pattern for key in keys for pattern in table.get(key, [])]
    return matches(path, patterns) and not matches(path, table.get("plain", []))


# --- checks ----------------------------------------------------------------------------------------------------------


def check_said(result, version, table, faults):
    """2: findings of lint and warnings are those that the table expects, each with its reason."""
    expected = [one for one in table.get("findings", []) if version in one.get("versions", ["v1", "v2"])]
    findings = [(one["rule"], one.get("path", ""), one["message"]) for one in result["lint"]["findings"]]
    findings += [("warning", "", text) for text in result.get("warnings", [])]
    for rule, path, message in findings:
        if not any(one["rule"] == rule and matches(path, [one.get("path", "**")]) for one in expected):
            faults.add(f"{version} {path}", f"unexpected finding ({rule}): {message}")
    for one in expected:
        if not any(one["rule"] == rule and matches(path, [one.get("path", "**")]) for rule, path, _ in findings):
            faults.add(f"{version} {one.get('path', '**')}", f"the expected finding ({one['rule']}) is missing")


def check_stored(rollcall, site, path, entry, faults, version, own=True):
    """3: one file at its public key: bytes, type, caches. A page has no public key before a flip."""
    body = site.bytes(path)
    if kind(entry) == "page":
        status, _, stored = rollcall.store.get(f"{rollcall.prefix}.rollcall/entries/{hashlib.sha256(body).hexdigest()}")
        if status != 200 or stored != body:
            faults.add(f"{version} {path}", f"the page's bytes are not stored ({status})")
        return
    status, headers, stored = rollcall.store.get(rollcall.prefix + path)
    if status != 200 or stored != body:
        faults.add(f"{version} {path}", "it answers other bytes than the build's" if status == 200 else f"it answers {status}")
        return
    check_headers(path, entry, headers, body, faults, version, own)


def check_headers(path, entry, headers, body, faults, version, own):
    name = posixpath.basename(path)
    wanted = TYPES.get(name.rsplit(".", 1)[-1].lower() if "." in name else name)
    given = headers.get("content-type", "")
    essence, _, parameters = given.partition(";")
    if wanted is None:
        wanted = "application/octet-stream"
    if essence.strip() != wanted:
        faults.add(f"{version} {path}", f"Content-Type is {given}, not {wanted}")
    if wanted.startswith("text/") and is_utf8(body) and "charset=utf-8" not in parameters:
        faults.add(f"{version} {path}", f"Content-Type is {given}, without charset=utf-8")
    caches = headers.get("cache-control")
    by_class = [YEAR] if kind(entry) == "immutable" else [RECHECK] if own else [RECHECK, YEAR]
    if caches not in by_class:
        faults.add(f"{version} {path}", f"Cache-Control of an {kind(entry)} file is {caches}")


def is_utf8(body):
    try:
        body.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def check_files(site, manifest, table, faults, version):
    """No file of the build is missing in its manifest, but the build tool's own lists."""
    for path in site.files:
        if path not in manifest and not matches(path, table.get("leftOut", [])):
            faults.add(f"{version} {path}", "it is in the build, and neither published nor expected to be left out")
    for path in manifest:
        if path not in site.known:
            faults.add(f"{version} {path}", "it is in the manifest and not in the build")


def check_classes(sites, manifests, table, faults):
    """5: nothing that changes under its name is immutable, and what the tool hashed is."""
    for path in sites["v1"].known & sites["v2"].known:
        changed = sites["v1"].bytes(path) != sites["v2"].bytes(path)
        for version in ("v1", "v2"):
            if changed and path in manifests[version] and kind(manifests[version][path]) == "immutable":
                evidence = manifests[version][path].get("evidence")
                faults.add(f"{version} {path}", f"immutable ({evidence}), although its bytes differ between v1 and v2")
    missed = 0
    for version, manifest in manifests.items():
        for pattern in table.get("hashed", []) + table.get("sets", []):
            if not any(matches(path, [pattern]) for path in manifest):
                faults.add(version, f"no file matches {pattern}")
        hashed = [path for path in manifest if named_by_tool(path, table, "hashed")]
        for path in hashed:
            if kind(manifest[path]) != "immutable":
                missed += 1
                faults.add(f"{version} {path}", f"the tool hashed its name, and it is {kind(manifest[path])}")
    for path, entry in manifests["v2"].items():
        if kind(entry) == "immutable" and not named_by_tool(path, table, "hashed", "sets"):
            faults.add(f"v2 {path}", f"immutable ({entry.get('evidence')}), although no pattern of hashed names has it")
    return missed


def check_set(rollcall, sites, manifests, table, faults):
    """Without a list of the tool, names of a set get a year from the second version on. Names that changed must, no others."""
    for path, entry in manifests["v2"].items():
        if kind(entry) == "unversioned" and not named_by_tool(path, table, "hashed", "sets"):
            if rollcall.store.get(rollcall.prefix + path)[1].get("cache-control") == YEAR:
                faults.add(f"v2 {path}", "it has an immutable file's Cache-Control, although no pattern of hashed names has it")
    missed = 0
    for path in sorted(sites["v2"].known - sites["v1"].known):
        if named_by_tool(path, table, "sets"):
            caches = rollcall.store.get(rollcall.prefix + path)[1].get("cache-control")
            if caches != YEAR:
                missed += 1
                faults.add(f"v2 {path}", f"the tool hashed its name, v1 had others of the set, and Cache-Control is {caches}")
    return missed


def check_v1_lives(rollcall, sites, manifests, reached, faults, moment):
    """4: while v1 is active, all of its files (not only what the crawl reached) have v1's bytes, and v2's new ones are there."""
    for path, entry in manifests["v1"].items():
        check_stored(rollcall, sites["v1"], path, entry, faults, f"v1, {moment},", own=False)
    for path in sorted(reached["v1"] - manifests["v1"].keys()):
        faults.add(f"v1 {path}", "pages reach it, and it is not published")
    for path, entry in manifests["v2"].items():
        fresh = path not in manifests["v1"]
        if kind(entry) != "page" and (fresh or kind(entry) == "immutable"):
            check_stored(rollcall, sites["v2"], path, entry, faults, f"v2, {moment},", own=False)


def check_repeats(rollcall, sites, results, faults):
    """6: the same build has the same digest and sends nothing."""
    for version, site in sites.items():
        digest = rollcall.digest(site.folder)
        if digest != results[version]["digest"]:
            faults.add(version, f"digest prints {digest}, publish {results[version]['digest']}")
    for version, name in (("v2", "v2"), ("v2", "v2-again"), ("v1", "v1"), ("v1", "v1-again")):
        again = rollcall.publish(sites[version].folder, name, faults)
        if again and again["objectsSent"] != 0:
            faults.add(version, f"published again as {name}, it sends {again['objectsSent']} objects")
        if again and again["digest"] != results[version]["digest"]:
            faults.add(version, f"published again as {name}, its digest is {again['digest']}")


def check_returning(sites, result, faults):
    """7: what a returning visitor loads is at most what is new, without maps and licences."""
    old = {path: sites["v1"].bytes(path) for path in sites["v1"].files}
    new = [path for path in sites["v2"].files if sites["v2"].bytes(path) != old.get(path) and not path.endswith(UNSEEN)]
    most = sum(len(sites["v2"].bytes(path)) for path in new)
    visitor = result.get("returningVisitor")
    if visitor is None:
        faults.add("v2", "publish says nothing of a returning visitor")
    elif visitor["version"] != "v1" or visitor["bytes"] > most:
        faults.add("v2", f"a returning visitor loads {visitor}, and new files have {most} bytes")


def check_tool(program, store, tool, builds, faults):
    table = json.loads((HERE / tool / "tool.json").read_text())
    rollcall = Rollcall(program, store, tool, table)
    sites = {version: Site(builds / tool / version, table) for version in ("v1", "v2")}
    assert all(site.files for site in sites.values()), f"{tool}: an empty build"
    reached = {version: site.reached(faults) for version, site in sites.items()}
    results, manifests = {}, {}
    for version, site in sites.items():
        results[version] = rollcall.publish(site.folder, version, faults)
        if results[version] is None:
            return "not published"
        manifests[version] = rollcall.manifest(results[version]["digest"])
        check_said(results[version], version, table, faults)
        check_files(site, manifests[version], table, faults, version)
        if version == "v1":
            for path, entry in manifests["v1"].items():
                check_stored(rollcall, site, path, entry, faults, "v1")
    check_v1_lives(rollcall, sites, manifests, reached, faults, "with v2 published")
    missed = check_classes(sites, manifests, table, faults) + check_set(rollcall, sites, manifests, table, faults)
    check_repeats(rollcall, sites, results, faults)
    check_returning(sites, results["v2"], faults)
    check_v1_lives(rollcall, sites, manifests, reached, faults, "with both published again")
    classes, evidence = results["v2"]["classes"], results["v2"]["evidence"]
    counts = ", ".join(f"{classes[name]} {name}" for name in ("immutable", "pages", "unversioned"))
    why = ", ".join(f"{name} {number}" for name, number in evidence.items()) or "no evidence"
    return f"{len(reached['v1'])} of {len(sites['v1'].files)} files reached; v2: {counts} ({why}), missed {missed}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--builds", required=True, type=pathlib.Path)
    parser.add_argument("tools", nargs="+")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = []
    with tempfile.TemporaryDirectory(prefix="rollcall-builds.") as folder:
        store = Store(options.program, pathlib.Path(folder))
        try:
            for tool in options.tools:
                began, faults = time.monotonic(), Faults(tool)
                said = check_tool(options.program, store, tool, options.builds, faults)
                verdict = f"{len(faults.lines)} faults" if faults.lines else "ok"
                print(f"{tool}: {verdict}; {said}; {time.monotonic() - began:.1f} s", flush=True)
                for line in faults.lines:
                    print(f"  {line}", flush=True)
                failed += [tool] if faults.lines else []
        finally:
            store.end()
    print(f"crawl: {len(options.tools) - len(failed)} of {len(options.tools)} builds as they should be")
    if failed:
        raise SystemExit(f"crawl: FAILED: {' '.join(failed)}")


if __name__ == "__main__":
    main()
