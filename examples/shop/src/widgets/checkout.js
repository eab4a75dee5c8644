import { price } from 'version:pricing.js';
import { shipping } from 'version:shipping.js';

export function checkout(lines) {
  const goods = lines.reduce((sum, { cents, count }) => sum + cents * count, 0);
  const { cents, promise } = shipping(goods);
  return `${price(goods)} + ${price(cents)} shipping (${promise}) = ${price(goods + cents)}`;
}
