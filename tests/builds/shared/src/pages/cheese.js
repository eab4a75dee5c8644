// One department of the shop: a chunk that loads when a visitor asks for it.
import { money } from "../money.js";

export const title = "cheese";

export function show(target) {
  target.textContent = `${title}: ${money(44)} for each of 4 pieces`;
}
