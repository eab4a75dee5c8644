// One department of the shop: a chunk that loads when a visitor asks for it.
import { money } from "../money.js";

export const title = "honey";

export function show(target) {
  target.textContent = `${title}: ${money(79)} for each of 9 pieces`;
}
