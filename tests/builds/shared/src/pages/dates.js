// One department of the shop: a chunk that loads when a visitor asks for it.
import { money } from "../money.js";

export const title = "dates";

export function show(target) {
  target.textContent = `${title}: ${money(51)} for each of 5 pieces`;
}
