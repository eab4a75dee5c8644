export const shipping = () => ({ cents: 590, promise: 'within a week' });
