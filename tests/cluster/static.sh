#!/usr/bin/env bash
# Builds the static programs so that the same sources give the same bytes, wherever they lie and whoever builds them.
#
#     static.sh CARGO-OPTION...        for example --bin rollcall
#
# What differs between two machines and would end up in a program is replaced: the folders of the sources, of Cargo and of the toolchain (in the
# texts of panics and of C's assertions) and of what is built, and the time of the build, which the allocator's C sources would write into its version.
# It must never change what the program does.
# The programs lie in $CARGO_TARGET_DIR/x86_64-unknown-linux-musl/release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
MUSL=x86_64-unknown-linux-musl
: "${CARGO_TARGET_DIR:=$HOME/.cache/rollcall/target-musl}"
: "${CARGO_HOME:=$HOME/.cargo}"
# Whoever builds decides nothing: neither flags of their own nor their time.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CFLAGS CARGO_BUILD_RUSTFLAGS
# What C's __DATE__ and __TIME__ say: 2026-01-01T00:00:00Z.
export SOURCE_DATE_EPOCH=1767225600
export CARGO_TARGET_DIR CARGO_HOME CARGO_INCREMENTAL=0 LC_ALL=C TZ=UTC

toolchain=$(rustc --print sysroot)
commit=$(rustc --version --verbose | sed -n 's/^commit-hash: //p')
# Our own sources are named relative to their folder already. It is not among these, or each checkout would build every dependency anew.
pairs=("$CARGO_TARGET_DIR=/target" "$CARGO_HOME=/cargo" "$toolchain/lib/rustlib/src/rust=/rustc/$commit" "$toolchain=/toolchain")
rust='' c=''
for pair in "${pairs[@]}"; do
  rust+="${rust:+$'\x1f'}--remap-path-prefix=$pair"
  c+="${c:+ }-ffile-prefix-map=$pair"
done
# Cargo does not see that variable, but it sees the flags: what was compiled with another date is compiled anew.
c+=" -DSOURCE_DATE=$SOURCE_DATE_EPOCH"
export CARGO_ENCODED_RUSTFLAGS=$rust CFLAGS_x86_64_unknown_linux_musl=$c
exec cargo build --locked --release --target "$MUSL" "$@"
