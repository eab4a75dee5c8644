import './reviews.css';
import { el, mount } from '../lib/dom.js';
import { stars } from 'version:stars.js';

const voices = [
  ['Ida', 5, 'The kettle is as quiet as they said.'],
  ['Bo', 4, 'Rake good, handle long.'],
  ['Mina', 5, 'The spare part came in handy after a year.'],
];

export function reviews(selector) {
  mount(selector, ...voices.map(([who, count, text]) => el('blockquote', {}, el('span', { className: 'stars', textContent: stars(count) }), ` ${text} `, el('cite', { textContent: who }))));
}
