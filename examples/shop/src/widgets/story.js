import { el } from '../lib/dom.js';
import workshop from '../art/workshop.svg';

const chapters = [
  'The shop exists to be deployed. It sells nothing, ships nothing and stores nothing about anybody.',
  'Its pages load scripts, styles, pictures and a font, some of them only when they are needed, because that is how a page breaks when half a fleet has a new version.',
];

export function story() {
  return el('div', {}, el('img', { src: workshop, alt: 'A workbench', width: 320 }), ...chapters.map((textContent) => el('p', { textContent })));
}
