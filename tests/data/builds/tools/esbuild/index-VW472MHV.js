import("./chunks/cart-4OZXRXWK.js").then(o=>o.cart());console.log("app");
//# sourceMappingURL=index-VW472MHV.js.map
