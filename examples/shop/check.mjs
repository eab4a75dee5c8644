// Checks the committed builds: nothing refers to a missing file, nothing is left over, every page names its version, a name never means two
// contents, and v3 shares most of v2. Node only, so that it runs without an install.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join, posix } from 'node:path';

const builds = join(import.meta.dirname, 'builds');
const versions = ['v1', 'v2', 'v3'];
const pages = ['404.html', 'about.html', 'cart/index.html', 'index.html'];
const unhashed = ['.vite/manifest.json', 'favicon.ico', 'robots.txt', 'version.json'];
// Vite's name: base name, then eight characters of base64url, which may themselves be '-' or '_'.
const hashed = /^assets\/.+-[\w-]{8}\.(js|css|svg|png|woff2)$/;
const faults = [];
const fault = (version, text) => faults.push(`${version}: ${text}`);

function load(version) {
  const folder = join(builds, version);
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => posix.relative(folder, posix.join(entry.parentPath, entry.name))).sort();
  return new Map(paths.map((path) => [path, readFileSync(join(folder, path))]));
}

const all = (text, pattern) => [...text.matchAll(pattern)].map((match) => match[1]);
const near = (path, reference) => posix.normalize(posix.join(posix.dirname(path), reference));

// A page's links to other pages count too: `./` and `cart/` mean the index page there.
const pageOf = (path) => (path === '.' || path.endsWith('/') ? posix.join(path, 'index.html') : path);

function referencesOf(path, text) {
  if (path.endsWith('.html')) return all(text, /\b(?:src|href)="([^"#]+)"/g).map((to) => pageOf(near(path, to)));
  if (path.endsWith('.css')) return all(text, /url\(["']?([^"')]+)["']?\)/g).map((to) => near(path, to));
  if (path.endsWith('.js')) return all(text, /["'`](\.?\.?\/?[\w./-]+\.(?:js|css|svg|png|woff2))["'`]/g).map((to) => near(path, to));
  if (path === '.vite/manifest.json') return manifestFiles(JSON.parse(text));
  return [];
}

function manifestFiles(manifest) {
  const known = (key) => manifest[key]?.file ?? `(manifest key ${key})`;
  return Object.values(manifest).flatMap(({ file, css = [], assets = [], imports = [], dynamicImports = [] }) => [
    file,
    ...css,
    ...assets,
    ...imports.map(known),
    ...dynamicImports.map(known),
  ]);
}

function checkBuild(version, files) {
  const used = new Set();
  for (const [path, bytes] of files) {
    for (const to of referencesOf(path, bytes.toString('utf8'))) {
      if (!files.has(to)) fault(version, `${path} refers to ${to}, which is not in the build`);
      if (path !== '.vite/manifest.json') used.add(to);
    }
    if (!hashed.test(path) && !pages.includes(path) && !unhashed.includes(path)) fault(version, `${path} has neither a hash nor a place in the list of pages`);
    if (hashed.test(path) === false && path.startsWith('assets/')) fault(version, `${path} has no hash`);
  }
  for (const path of files.keys()) if (path.startsWith('assets/') && !used.has(path)) fault(version, `nothing refers to ${path}`);
  for (const path of [...pages, ...unhashed]) if (!files.has(path)) fault(version, `${path} is missing`);
  for (const path of pages) {
    const shown = all(files.get(path)?.toString() ?? '', /<meta name="shop-version" content="([^"]*)">/g);
    if (shown.join() !== version) fault(version, `${path} says it is "${shown.join()}"`);
  }
  if (JSON.parse(files.get('version.json') ?? '{}').version !== version) fault(version, 'version.json names another version');
}

const assetsOf = (files) => [...files.keys()].filter((path) => path.startsWith('assets/'));

function checkShared(one, other, loaded, least) {
  const [left, right] = [loaded[one], loaded[other]];
  const shared = assetsOf(left).filter((path) => right.has(path));
  for (const path of shared) if (!left.get(path).equals(right.get(path))) fault(`${one} and ${other}`, `${path} has two contents`);
  const total = assetsOf(right).length;
  if (shared.length < least * total) fault(`${one} and ${other}`, `share ${shared.length} of ${total} asset names`);
  const bytes = shared.reduce((sum, path) => sum + right.get(path).length, 0);
  console.log(`${one} -> ${other}: ${shared.length} of ${total} asset names shared, ${bytes} bytes`);
  console.log(`  new: ${assetsOf(right).filter((path) => !left.has(path)).map((path) => basename(path)).join(' ')}`);
}

const loaded = Object.fromEntries(versions.map((version) => [version, load(version)]));
for (const version of versions) {
  const files = loaded[version];
  checkBuild(version, files);
  const bytes = [...files.values()].reduce((sum, content) => sum + content.length, 0);
  const sum = createHash('sha256');
  for (const [path, content] of files) sum.update(`${path}\0${content.length}\0`).update(content);
  console.log(`${version}: ${files.size} files, ${assetsOf(files).length} assets, ${bytes} bytes, ${sum.digest('hex').slice(0, 16)}`);
}
checkShared('v1', 'v2', loaded, 0);
checkShared('v2', 'v3', loaded, 0.5);

for (const text of faults) console.error(text);
process.exit(faults.length === 0 ? 0 : 1);
