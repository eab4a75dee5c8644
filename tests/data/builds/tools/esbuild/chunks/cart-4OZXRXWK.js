var o=()=>console.log("cart");export{o as cart};
//# sourceMappingURL=cart-4OZXRXWK.js.map
