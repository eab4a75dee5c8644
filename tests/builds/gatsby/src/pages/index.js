import * as React from "react";
import { Link, withPrefix } from "gatsby";
import "../shared/style.css";
import tile from "../shared/tile.png";
import { departments } from "../shared/departments.js";

export const Head = () => (
  <>
    <title>Corner shop</title>
    <link rel="icon" href={withPrefix("/favicon.ico")} />
    <link rel="manifest" href={withPrefix("/site.webmanifest")} />
  </>
);

export default function Page() {
  const target = React.useRef(null);
  const show = async (name) => (await departments[name]()).show(target.current);
  return (
    <main>
      <Link to="/about/">About</Link> <img src={tile} alt="" /> <img src={withPrefix("/hero.png")} alt="" />
      {Object.keys(departments).map((name) => <button key={name} onClick={() => show(name)}>{name}</button>)}
      <p ref={target} />
    </main>
  );
}
