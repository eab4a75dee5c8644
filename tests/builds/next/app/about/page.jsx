import tile from "../../lib/tile.png";

export default function Page() {
  return <main>Founded in 1926. <img src={tile.src} alt="" /></main>;
}
