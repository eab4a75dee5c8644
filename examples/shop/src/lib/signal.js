// A value that tells its readers when it changes.
export function signal(value) {
  const readers = new Set();
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const reader of readers) reader(value);
    },
    watch(reader) {
      readers.add(reader);
      reader(value);
      return () => readers.delete(reader);
    },
  };
}
