import '../styles.css';
import './home.css';
import 'version:palette.css';
import { el, mount } from '../lib/dom.js';
import { ready } from '../lib/ready.js';
import { signal } from '../lib/signal.js';
import { price } from 'version:pricing.js';
import { release } from 'version:release.js';

const shelves = {
  kitchen: () => import('catalogue:kitchen'),
  garden: () => import('catalogue:garden'),
  workshop: () => import('catalogue:workshop'),
  library: () => import('catalogue:library'),
  travel: () => import('catalogue:travel'),
  lighting: () => import('catalogue:lighting'),
};
const shown = signal([]);

async function open(department) {
  const { products } = await shelves[department]();
  shown.set(products.slice(0, 24));
}

async function search(word) {
  const { find } = await import('catalogue:search');
  mount('#found', `${find(word.trim().toLowerCase()).length} things found`);
}

const card = ({ id, name, cents, note }) =>
  el('li', { id }, el('strong', { textContent: name }), el('span', { className: 'price', textContent: price(cents) }), el('small', { textContent: note }));

ready(release.label, async () => {
  mount('#release', release.headline);
  mount('#departments', ...DEPARTMENTS.map((d) => el('button', { textContent: d, onclick: () => open(d) })));
  document.querySelector('#search').onchange = (event) => search(event.target.value);
  shown.watch((products) => mount('#products', ...products.map(card)));
  await open(DEPARTMENTS[0]);
  await import('../widgets/reviews.js').then(({ reviews }) => reviews('#reviews'));
});
