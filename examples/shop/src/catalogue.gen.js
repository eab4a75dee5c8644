// Makes the catalogue's modules from a seed. Same season, same bytes, on every machine.
export const departments = ['kitchen', 'garden', 'workshop', 'library', 'travel', 'lighting'];

const materials = ['oak', 'steel', 'linen', 'copper', 'glass', 'cork', 'slate', 'wool', 'brass', 'clay', 'bamboo', 'leather'];
const qualities = ['folding', 'plain', 'tall', 'quiet', 'narrow', 'heavy', 'striped', 'round', 'light', 'double', 'small', 'sturdy'];
const things = {
  kitchen: ['kettle', 'ladle', 'board', 'jar', 'pan', 'sieve', 'bowl'],
  garden: ['trowel', 'pot', 'trellis', 'can', 'rake', 'bench', 'lantern'],
  workshop: ['vice', 'plane', 'clamp', 'chisel', 'stool', 'case', 'ruler'],
  library: ['shelf', 'bookend', 'lamp', 'ladder', 'notebook', 'stand', 'folio'],
  travel: ['trunk', 'flask', 'strap', 'pouch', 'blanket', 'compass', 'bag'],
  lighting: ['shade', 'sconce', 'bulb', 'chandelier', 'candle', 'torch', 'stand'],
};
const remarks = ['Made to be mended.', 'Ages well.', 'Packed without plastic.', 'Comes with a spare part.', 'Ships flat.', 'Fits in one hand.'];

// xorshift32: small, and the same in every engine because it never leaves 32 bits.
function dice(seed) {
  let state = [...seed].reduce((sum, c) => (Math.imul(sum, 31) + c.charCodeAt(0)) | 0, 7) || 1;
  return (sides) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % sides;
  };
}

function products(department, season) {
  const roll = dice(`${department}/${season}`);
  const pick = (list) => list[roll(list.length)];
  return Array.from({ length: 180 }, (_, i) => ({
    id: `${department.slice(0, 3)}-${String(i + 1).padStart(4, '0')}`,
    name: `${pick(qualities)} ${pick(materials)} ${pick(things[department])}`,
    cents: 450 + roll(400) * 25,
    stock: roll(40),
    note: `${pick(remarks)} ${pick(remarks)}`,
  }));
}

export function departmentModule(department, season) {
  const list = products(department, season);
  return `export const name = ${JSON.stringify(department)};\nexport const products = JSON.parse(${JSON.stringify(JSON.stringify(list))});\n`;
}

export function searchModule(season) {
  const index = {};
  for (const department of departments) {
    for (const { id, name } of products(department, season)) {
      for (const word of name.split(' ')) (index[word] ??= []).push(id);
    }
  }
  return `const index = JSON.parse(${JSON.stringify(JSON.stringify(index))});\nexport const find = (word) => index[word] ?? [];\n`;
}
