"use client";
import { useRef } from "react";
import { departments } from "../lib/departments.js";

export default function Page() {
  const target = useRef(null);
  const show = async (name) => (await departments[name]()).show(target.current);
  return (
    <main>
      {Object.keys(departments).map((name) => <button key={name} onClick={() => show(name)}>{name}</button>)}
      <p ref={target} />
    </main>
  );
}
