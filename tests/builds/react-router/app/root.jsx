import { Link, Links, Meta, Outlet, Scripts } from "react-router";
import "./shared/style.css";

export function Layout({ children }) {
  return (
    <html lang="en">
      <head>
        <meta charSet="utf-8" />
        <link rel="icon" href="/favicon.ico" />
        <link rel="manifest" href="/site.webmanifest" />
        <Meta />
        <Links />
      </head>
      <body>
        <img src="/hero.png" alt="" /> <img src="/flag-PORTUGAL.svg" alt="" />
        {children}
        <Scripts />
      </body>
    </html>
  );
}

export default function Root() {
  return <><nav><Link to="/">Shop</Link> <Link to="/about">About</Link></nav><Outlet /></>;
}
