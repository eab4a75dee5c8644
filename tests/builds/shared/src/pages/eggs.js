// One department of the shop: a chunk that loads when a visitor asks for it.
import { money } from "../money.js";

export const title = "eggs";

export function show(target) {
  target.textContent = `${title}: ${money(58)} for each of 6 pieces`;
}
