// Prices, which are kept in cents, as text for visitors.
export function money(cents) {
  return `${(cents / 100).toFixed(2)} EUR`;
}
