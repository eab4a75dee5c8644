// One department of the shop: a chunk that loads when a visitor asks for it.
import { money } from "../money.js";

export const title = "apples";

export function show(target) {
  target.textContent = `${title}: ${money(30)} for each of 2 pieces`;
}
