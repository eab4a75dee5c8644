#!/usr/bin/env bash
# Builds the image twice, from two folders, with two folders of Cargo's own and two for what is built, once with one job at a time, and says what
# differs. Nothing is left behind. Two whole builds: some ten minutes on two cores.
# It must never compare a build with itself: each starts from nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/rollcall-reproducible.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
certificates=${CERTIFICATES:-/etc/ssl/certs/ca-certificates.crt}
MUSL=x86_64-unknown-linux-musl
home=${CARGO_HOME:-$HOME/.cargo}

# Sources as they are now, and the crates that were downloaded already; with hard links where both are on one file system.
build() { # NAME FOLDER JOBS UMASK
  local folder=$scratch/$2 cargo=$scratch/$2-cargo
  mkdir -p "$folder" "$cargo"
  (cd "$root" && git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf -) | tar -xf - -C "$folder"
  cp -al "$home/registry" "$cargo/registry" 2> /dev/null || { rm -rf "$cargo/registry"; cp -a "$home/registry" "$cargo/registry"; }
  (
    umask "$4"
    export CARGO_HOME=$cargo CARGO_TARGET_DIR=$scratch/$1-target CARGO_BUILD_JOBS=$3
    "$folder/tests/cluster/static.sh" --quiet --offline --bin rollcall
    cp "$CARGO_TARGET_DIR/$MUSL/release/rollcall" "$scratch/$1.program"
    "$folder/tests/cluster/image.py" rollcall.local/rollcall:dev "$scratch/$1.tar" "$scratch/$1.program=/rollcall" --file "$certificates=/etc/ssl/certs/ca-certificates.crt"
    rm -rf "$CARGO_TARGET_DIR"
  )
  echo "$1: program sha256:$(sha256sum < "$scratch/$1.program" | cut -d' ' -f1), image $("$root/tests/cluster/image.py" --digest-of "$scratch/$1.tar")"
}

build first a "$(nproc)" 022
build second deeper/under/another-name 1 077
if cmp -s "$scratch/first.tar" "$scratch/second.tar"; then
  echo "Both images are the same, byte by byte."
  exit 0
fi
echo "The images differ. Bytes of the program that do: $(cmp -l "$scratch/first.program" "$scratch/second.program" | wc -l); texts in one only:"
diff <(strings -n 6 "$scratch/first.program" | sort -u) <(strings -n 6 "$scratch/second.program" | sort -u) | head -40 || true
exit 1
