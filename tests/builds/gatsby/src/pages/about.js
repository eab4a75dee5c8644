import * as React from "react";
import { Link } from "gatsby";

export default function Page() {
  return <main><Link to="/">Shop</Link> Founded in 1926.</main>;
}
