// The first page's script: loads a department on a click.
import "./style.css";
import { departments } from "./departments.js";

const target = document.querySelector("#department");
for (const name of Object.keys(departments)) {
  const button = document.createElement("button");
  button.textContent = name;
  button.addEventListener("click", async () => (await departments[name]()).show(target));
  document.querySelector("nav").append(button);
}
