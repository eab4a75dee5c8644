export const cart = () => console.log('cart')
