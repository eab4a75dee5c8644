// The second page's script, with a style of its own.
import "./about.css";
import { money } from "./money.js";

document.querySelector("#founded").textContent = `founded with ${money(100000)}`;
