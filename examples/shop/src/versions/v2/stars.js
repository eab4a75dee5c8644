export const stars = (count) => 'S'.repeat(count) + 'O'.repeat(5 - count);
