import { useRef } from "react";
import { departments } from "../shared/departments.js";

export default function Shop() {
  const target = useRef(null);
  const show = async (name) => (await departments[name]()).show(target.current);
  return <main>{Object.keys(departments).map((name) => <button key={name} onClick={() => show(name)}>{name}</button>)}<p ref={target} /></main>;
}
