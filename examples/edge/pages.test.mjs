// Runs the CloudFront Function as its runtime does: a script whose `handler` takes an event. `node --test examples/edge`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

const source = readFileSync(new URL('pages.js', import.meta.url), 'utf8');

function load(fallback, pages) {
  const text = source.replace(/^var FALLBACK = .*$/m, `var FALLBACK = '${fallback}';`).replace(/^var PAGES = .*$/m, `var PAGES = '${pages}';`);
  const handler = new Function(`${text}\nreturn handler;`)();
  return (uri, querystring = {}) => {
    const answer = handler({ request: { uri, querystring } });
    return answer.statusCode ? `${answer.statusCode} ${answer.headers.location.value}` : answer.uri;
  };
}

test('a single-page application gets its page for each path that names no file', () => {
  const ask = load('/index.html', 'folder');
  for (const path of ['/', '/users/7', '/users/']) assert.equal(ask(path), '/index.html');
  const files = ['/assets/app-1.js', '/assets/none', '/.well-known/apple-app-site-association', '/gone.js', '/robots.txt', '/about.html'];
  for (const path of files) assert.equal(ask(path), path);
});

test('a page of a folder has the path with the slash', () => {
  const ask = load('', 'folder');
  assert.equal(ask('/'), '/index.html');
  assert.equal(ask('/docs/'), '/docs/index.html');
  assert.equal(ask('/docs', { a: { value: 'b' }, c: { value: '' } }), '301 ./docs/?a=b&c');
  assert.equal(ask('/assets/app-1.js'), '/assets/app-1.js');
});

test('a page of a file has the path without the slash', () => {
  const ask = load('', 'file');
  assert.equal(ask('/'), '/index.html');
  assert.equal(ask('/about'), '/about.html');
  assert.equal(ask('/shop/about/', { a: { value: '1', multiValue: [{ value: '1' }, { value: '2' }] } }), '301 ../about?a=1&a=2');
});
