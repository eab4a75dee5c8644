#!/bin/sh
# Packs a build so that equal files give equal bytes: sorted names, no times, no owners. Prints the archive's sha256.
# usage: pack.sh VERSION OUT.tar.gz|OUT.tar.zst|OUT.zip
set -eu

fail() {
	echo "pack.sh: $1" >&2
	exit 1
}

[ $# -eq 2 ] || fail "usage: pack.sh VERSION OUT.tar.gz|OUT.tar.zst|OUT.zip"
build=$(dirname "$0")/builds/$1
out=$2
[ -n "$1" ] && [ -d "$build" ] || fail "there is no build \"$1\" in $(dirname "$0")/builds"

part=$out.part.$$
trap 'rm -f "$part" "$part.tar"' EXIT

# GNU tar; the names carry no leading ./ because readers compare them with the manifest's.
tarball() {
	(cd "$build" && find . -type f -printf '%P\n' | LC_ALL=C sort | tar --create --format=ustar --no-recursion --mode=0644 \
		--owner=0 --group=0 --numeric-owner --mtime=@0 --files-from=-) >"$part.tar"
}

# Info-ZIP writes the files' times and modes, so Python's standard library it is; 1980 is the oldest time that a zip can hold.
zipball() {
	python3 - "$build" "$part" <<-'PYTHON'
		import pathlib, sys, zipfile
		root, out = pathlib.Path(sys.argv[1]), sys.argv[2]
		names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
		with zipfile.ZipFile(out, "w") as archive:
		    for name in names:
		        entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
		        entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
		        archive.writestr(entry, (root / name).read_bytes())
	PYTHON
}

case $out in
*.tar.gz) tarball && gzip -n -9 <"$part.tar" >"$part" ;;
*.tar.zst) tarball && zstd -q -19 -T1 <"$part.tar" >"$part" ;;
*.zip) zipball ;;
*) fail "\"$out\" must end in .tar.gz, .tar.zst or .zip" ;;
esac
mv "$part" "$out"
sha256sum <"$out" | cut -d' ' -f1
