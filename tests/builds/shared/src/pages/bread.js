// One department of the shop: a chunk that loads when a visitor asks for it.
import { money } from "../money.js";

export const title = "bread";

export function show(target) {
  target.textContent = `${title}: ${money(37)} for each of 3 pieces`;
}
