// Tells a test (and a curious visitor) how the page ended. `ready` is set only after everything the page needs has loaded and only if the
// scripts belong to the page that asked for them; a page put together from two versions says so instead.
async function dressed() {
  // A script runs although a style sheet failed; a sheet that did not load, or came as html, is null.
  const bare = [...document.querySelectorAll('link[rel="stylesheet"]')].find(({ sheet }) => !sheet);
  if (bare) throw new Error(`${bare.href} did not load`);
  await document.fonts.load('1em "Shop Signs"', 'C');
}

export async function ready(label, load) {
  const { dataset } = document.documentElement;
  const wanted = document.querySelector('meta[name="shop-version"]').content;
  try {
    await Promise.all([load(), dressed()]);
    if (label !== wanted) throw new Error(`the page is ${wanted}, its script is ${label}`);
    dataset.ready = label;
  } catch (error) {
    dataset.failed = error.message;
    throw error;
  }
}
