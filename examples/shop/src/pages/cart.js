import '../styles.css';
import './cart.css';
import 'version:palette.css';
import { el, mount } from '../lib/dom.js';
import { ready } from '../lib/ready.js';
import { price } from 'version:pricing.js';
import { release } from 'version:release.js';

const lines = [
  { name: 'folding oak stool', cents: 4900, count: 1 },
  { name: 'small copper jar', cents: 1250, count: 3 },
];

ready(release.label, async () => {
  mount('#release', release.headline);
  mount('#lines', ...lines.map(({ name, cents, count }) => el('li', {}, `${count} × ${name}`, el('span', { className: 'price', textContent: price(cents * count) }))));
  const { checkout } = await import('../widgets/checkout.js');
  mount('#total', checkout(lines));
});
