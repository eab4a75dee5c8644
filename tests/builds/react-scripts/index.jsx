// The application; the build script copies it to src/, where react-scripts looks for it.
import { createRoot } from "react-dom/client";
import "./style.css";
import logo from "./logo.svg";
import tile from "./tile.png";
import { departments } from "./departments.js";

function App() {
  const show = async (name) => (await departments[name]()).show(document.querySelector("#department"));
  return (
    <main>
      <img src={logo} alt="" /> <img src={tile} alt="" /> <img src={`${process.env.PUBLIC_URL}/hero.png`} alt="" />
      {Object.keys(departments).map((name) => <button key={name} onClick={() => show(name)}>{name}</button>)}
      <p id="department" />
    </main>
  );
}

createRoot(document.querySelector("#root")).render(<App />);
