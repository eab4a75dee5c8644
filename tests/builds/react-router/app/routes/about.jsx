import tile from "../shared/tile.png";

export default function About() {
  return <main>Founded in 1926. <img src={tile} alt="" /></main>;
}
