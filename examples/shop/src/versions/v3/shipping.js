export const shipping = (goods) => ({ cents: goods >= 8000 ? 0 : 390, promise: 'in two days' });
