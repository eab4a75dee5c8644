export default function Page() {
  return <main>No jobs at this time.</main>;
}
