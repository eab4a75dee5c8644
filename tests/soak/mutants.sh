#!/usr/bin/env bash
# Changes the code in small ways (cargo-mutants: another comparison, a default instead of an answer, a branch less) and counts the changes
# that no test notices, in the rooms that decide: rollout, retention, the agent's core, observe and act, the pointer, the upload.
# It must never change the checkout that it is started from: it works in a clone of HEAD.
#
#     mutants.sh [SHARD]      for example 3/60: every 60th change, from the fourth on (default 0/60)
#
# First the library's own tests look at each change; the changes that they miss are shown to the simulation, too. Fewer than 90 % noticed is a failure.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
shard=${1:-0/60}
version=27.1.0
tool=$HOME/.cache/rollcall/cargo/bin/cargo-mutants
out=${OUT:-$top/target/mutants}
export CARGO_TARGET_DIR=${ROLLCALL_MUTANTS_TARGET:-$HOME/.cache/rollcall/target-mutants} CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=0
[ -x "$tool" ] || cargo install --locked --quiet --version "$version" --root "$HOME/.cache/rollcall/cargo" cargo-mutants

rooms=()
for room in 'rollout/**' 'retention/**' 'agent/core/**' 'controller/observe.rs' 'controller/act.rs' 'cluster/pointer.rs' 'cluster/pointer/**' 'upload/**'; do
  rooms+=(-f "src/$room")
done

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git clone -q "$top" "$copy/rollcall"
cd "$copy/rollcall"
# A quiet change is built and tested in one to three minutes; ten are the end of a loop without end.
look() { # folder, options of cargo-mutants, --, options of cargo test
  local folder=$1
  shift
  "$tool" mutants --in-place --no-shuffle --baseline skip --timeout 600 --build-timeout 900 --colors never -o "$folder" "$@" || true
}
mkdir -p "$out"
rm -rf "$out/library" "$out/simulation"
look "$out/library" "${rooms[@]}" --shard "$shard" --sharding round-robin -C --locked -C --all-features -C --lib
lines() { cat "$@" 2> /dev/null | grep -c . || true; }
missed=$out/library/mutants.out/missed.txt
noticed=$(lines "$out/library/mutants.out/caught.txt" "$out/library/mutants.out/timeout.txt")
if [ -s "$missed" ]; then
  chosen=()
  while read -r mutant; do
    # A line of the list as a regular expression that means itself.
    # shellcheck disable=SC2016
    chosen+=(-F "^$(sed 's/[][\.*^$()+?{}|/]/\\&/g' <<< "$mutant")\$")
  done < "$missed"
  look "$out/simulation" "${rooms[@]}" "${chosen[@]}" -C --locked -C --all-features -C --test -C it -- simulation
  noticed=$((noticed + $(lines "$out/simulation/mutants.out/caught.txt" "$out/simulation/mutants.out/timeout.txt")))
  missed=$out/simulation/mutants.out/missed.txt
fi
survived=$(lines "$missed")
echo "mutants $shard: $noticed noticed, $survived survived, $(lines "$out/library/mutants.out/unviable.txt") do not compile"
cat "$missed" 2> /dev/null || true
[ $((noticed + survived)) -gt 0 ] && [ $((noticed * 100)) -ge $(((noticed + survived) * 90)) ]
