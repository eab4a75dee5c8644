// Whole amounts without decimals, thousands set apart.
export function price(cents) {
  const [whole, part] = (cents / 100).toFixed(2).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, '\u202f');
  return part === '00' ? `€ ${grouped}` : `€ ${grouped},${part}`;
}
