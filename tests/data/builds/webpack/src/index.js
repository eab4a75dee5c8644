import "./style.css";
import sign from "./sign.svg";

document.querySelector("img").src = sign;
document.querySelector("button").onclick = () => import(/* webpackChunkName: "cart" */ "./cart.js").then((cart) => cart.open());
