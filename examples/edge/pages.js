// CloudFront Function (runtime cloudfront-js-2.0, event viewer-request) for pages in a bucket: what agents do by themselves for pages of pods.
// It must never change the path of a file: a page in the answer to a script is stored under the script's name.

// A single-page application: the page for every path that names no file. '' for a site with a page for each path.
var FALLBACK = '/index.html';
// A site with a page for each path: 'folder' where the build has about/index.html, 'file' where it has about.html.
var PAGES = 'folder';

// Paths of files without an ending, and folders of assets, which stay as they are. What programs ask for below /.well-known/ always does.
var FILES = ['/.well-known/', '/assets/'];

function handler(event) {
  var request = event.request;
  if (FILES.some(function (path) { return request.uri.indexOf(path) === 0; })) {
    return request;
  }
  var last = request.uri.slice(request.uri.lastIndexOf('/') + 1);
  if (last.indexOf('.') >= 0) {
    return request;
  }
  if (FALLBACK) {
    request.uri = FALLBACK;
    return request;
  }
  if (PAGES === 'folder') {
    if (last) {
      return moved('./' + last + '/', request.querystring);
    }
    request.uri += 'index.html';
    return request;
  }
  if (request.uri === '/') {
    request.uri = '/index.html';
    return request;
  }
  if (!last) {
    var plain = request.uri.replace(/\/+$/, '');
    return moved('../' + plain.slice(plain.lastIndexOf('/') + 1), request.querystring);
  }
  request.uri += '.html';
  return request;
}

function moved(to, querystring) {
  var pairs = [];
  Object.keys(querystring || {}).forEach(function (name) {
    var values = querystring[name].multiValue || [querystring[name]];
    values.forEach(function (one) {
      pairs.push(one.value === '' ? name : name + '=' + one.value);
    });
  });
  var location = pairs.length ? to + '?' + pairs.join('&') : to;
  return {
    statusCode: 301,
    statusDescription: 'Moved Permanently',
    headers: { location: { value: location }, 'cache-control': { value: 'no-cache' } },
  };
}
