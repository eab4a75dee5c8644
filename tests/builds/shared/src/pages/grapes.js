// One department of the shop: a chunk that loads when a visitor asks for it.
import { money } from "../money.js";

export const title = "grapes";

export function show(target) {
  target.textContent = `${title}: ${money(72)} for each of 8 pieces`;
}
