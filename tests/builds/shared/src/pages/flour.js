// One department of the shop: a chunk that loads when a visitor asks for it.
import { money } from "../money.js";

export const title = "flour";

export function show(target) {
  target.textContent = `${title}: ${money(65)} for each of 7 pieces`;
}
