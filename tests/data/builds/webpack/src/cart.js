export function open() {
  document.querySelector("output").textContent = "The cart is empty.";
}
