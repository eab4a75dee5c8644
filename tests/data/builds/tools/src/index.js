import './main.css'
import('./cart.js').then(c => c.cart())
console.log('app')
