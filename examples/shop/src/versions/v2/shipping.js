export const shipping = (goods) => ({ cents: goods >= 10000 ? 0 : 490, promise: 'in three days' });
