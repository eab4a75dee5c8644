import Link from "next/link";
import "../lib/style.css";

export const metadata = { title: "Corner shop", manifest: "/site.webmanifest" };

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>
        <nav><Link href="/">Shop</Link> <Link href="/about">About</Link></nav>
        <img src="/hero.png" alt="" /> <img src="/flag-PORTUGAL.svg" alt="" />
        {children}
      </body>
    </html>
  );
}
