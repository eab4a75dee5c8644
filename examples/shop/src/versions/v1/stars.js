export const stars = (count) => 'S'.repeat(count);
