// Builds one version of the shop. SHOP_VERSION (v1, v2, v3) picks the files under src/versions; nothing else differs between builds, and
// nothing of the machine, the clock or the folder may reach the output: the committed builds are reproduced byte for byte.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { departments, departmentModule, searchModule } from './src/catalogue.gen.js';

const root = fileURLToPath(new URL('.', import.meta.url));
const shelf = `${root}src/catalogue/`;
const page = (path) => fileURLToPath(new URL(path, import.meta.url));

// A version holds only what it changed and inherits the rest, so that what two versions share is one file and not two equal ones.
const lineage = { v1: ['v1'], v2: ['v2', 'v1'], v3: ['v3', 'v2', 'v1'] };

function versionFiles(version) {
  return {
    name: 'shop-version-files',
    enforce: 'pre',
    resolveId(id) {
      if (!id.startsWith('version:')) return null;
      const name = id.slice('version:'.length);
      const found = lineage[version].map((v) => `${root}src/versions/${v}/${name}`).find(existsSync);
      return found ?? this.error(`no version in ${lineage[version].join(', ')} has ${name}`);
    },
    transformIndexHtml: (html) => html.replaceAll('%SHOP_VERSION%', version),
    generateBundle() {
      const source = `${JSON.stringify({ name: 'shop', version })}\n`;
      this.emitFile({ type: 'asset', fileName: 'version.json', source });
    },
  };
}

// The catalogue is data that a real shop would export from its database. Here a seed makes it, so that the source stays small.
function catalogue(season) {
  return {
    name: 'shop-catalogue',
    // As if the files lay in the tree: the ids become keys of Vite's manifest, which must not show where this folder is.
    resolveId: (id) => (id.startsWith('catalogue:') ? `${shelf}${id.slice('catalogue:'.length)}.js` : null),
    load(id) {
      if (!id.startsWith(shelf)) return null;
      const name = id.slice(shelf.length, -'.js'.length);
      return name === 'search' ? searchModule(season) : departmentModule(name, season);
    },
  };
}

export default defineConfig(() => {
  const version = process.env.SHOP_VERSION;
  if (!Object.hasOwn(lineage, version ?? '')) throw new Error(`SHOP_VERSION is "${version ?? ''}", expected one of ${Object.keys(lineage).join(', ')}`);
  return {
    root,
    base: './',
    plugins: [versionFiles(version), catalogue(version === 'v1' ? 'spring' : 'autumn')],
    build: {
      outDir: `builds/${version}`,
      emptyOutDir: true,
      manifest: true,
      assetsInlineLimit: 0,
      target: 'es2022',
      modulePreload: { polyfill: false },
      reportCompressedSize: false,
      rollupOptions: {
        input: {
          home: page('./index.html'),
          about: page('./about.html'),
          cart: page('./cart/index.html'),
          missing: page('./404.html'),
        },
        output: {
          // Each of these changes at its own pace. Without the split they would be one chunk, and the release label in it would give every
          // chunk that imports anything from it a new name in every version.
          codeSplitting: {
            groups: [
              { name: 'release', test: /src\/versions\/v\d\/release\.js$/ },
              { name: 'lib', test: /src\/lib\// },
              { name: 'preload', test: /vite\/preload-helper/ },
              { name: 'pricing', test: /src\/versions\/v\d\/pricing\.js$/ },
            ],
          },
        },
      },
    },
    define: { DEPARTMENTS: JSON.stringify(departments) },
  };
});
