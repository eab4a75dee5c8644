#!/usr/bin/env bash
# `make load`: many page loads through the Service of a real cluster, while a seeded schedule releases versions and disturbs everything: agents, both
# controllers, the store, the API server, readiness, the pointer. Ends with a table, and as JSON in target/load; not 0 when a page was broken.
# It must never leave a cluster or a process behind, nor take a page load that failed for a good one.
#
#   run.sh            all of it, on a cluster of its own
#   run.sh --inside   the part that runs inside the cluster
#
# MINUTES  how long the schedule runs (20); it goes on, at most three times as long, until there are
# LOADS    page loads (50,000 for each minute)
# SEED     of the schedule (1): the same seed gives the same events at the same times
# RATE     page loads a second that the visitors aim at (5/4 of LOADS / MINUTES)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d /tmp/rollcall-load.XXXXXX)
trap 'finish' EXIT
trap 'exit 130' INT TERM
# shellcheck source=tests/e2e/harness.sh
. "$root/tests/e2e/harness.sh"
# shellcheck source=tests/load/actions.sh
. "$root/tests/load/actions.sh"
# shellcheck source=tests/load/controls.sh
. "$root/tests/load/controls.sh"

minutes=${MINUTES:-20} seed=${SEED:-1}
loads=${LOADS:-$((50000 * minutes))}
rate=${RATE:-$((loads * 5 / minutes / 60 / 4 + 1))}
results=$root/target/load
: "${run:?}"
# Where the controllers find the API server: behind a network that can be slow.
slow_port=16444
processes=()

say() { echo "load: $(date -u +%T) $*" >&2; }

finish() {
  local code=$?
  [ "$code" = 0 ] || [ -z "${ROLLCALL_CLUSTER_STATE:-}" ] || explain 2> /dev/null
  [ ${#processes[@]} = 0 ] || kill -TERM "${processes[@]}" 2> /dev/null || true
  rm -rf "$scratch"
}

# --- the site --------------------------------------------------------------------------------------------------------

start_delay() {
  echo 0 > "$run/delay"
  "$built/rollcall-load" delay --listen "10.88.0.1:$slow_port" --to 10.88.0.1:16443 --file "$run/delay" --for 21600 > /dev/null 2> "$scratch/delay.log" &
  processes+=($!)
}

# As `serve_builds` of the harness, with small builds.
serve_site() {
  local version folder=$scratch/site
  "$root/tests/load/site.py" "$folder/builds" 12
  cp "$root/examples/shop/pack.sh" "$folder"
  mkdir -p "$scratch/archives"
  for version in "$folder"/builds/*; do
    "$folder/pack.sh" "${version##*/}" "$scratch/archives/${version##*/}.tar.gz" > /dev/null
  done
  k create configmap builds --from-file="$scratch/archives" > /dev/null
  k apply -f "$root/tests/e2e/builds.yaml" > /dev/null
  k rollout status deployment/builds --timeout=120s > /dev/null
}

test_active() { [ "$(k get assetrelease shop -o jsonpath='{.status.active.version}')" = "$1" ]; }
test_settled() { # VERSION: active, and Ready says so for the newest spec
  k get assetrelease shop -o json | jq -e --arg version "$1" '.metadata.generation == .status.observedGeneration and .status.active.version == $version
    and any(.status.conditions[]; .type == "Ready" and .status == "True")' > /dev/null
}

begin_site() {
  load_images
  prepare_namespace
  start_delay
  install_chart --set "extraEnv[0].name=KUBERNETES_SERVICE_HOST,extraEnv[0].value=10.88.0.1" \
    --set-string "extraEnv[1].name=KUBERNETES_SERVICE_PORT,extraEnv[1].value=$slow_port"
  serve_site
  kubectl apply -k "$root/deploy/demo" > /dev/null
  k patch deployment shop --type merge -p '{"spec":{"replicas":8,"strategy":{"rollingUpdate":{"maxSurge":2,"maxUnavailable":0}}}}' > /dev/null
  apply_release v1
  k rollout status deployment/shop --timeout=600s > /dev/null
  wait_for 120 "v1 to be settled" test_settled v1
  wait_for 15 "the Service" answers "$site"
}

# --- visitors --------------------------------------------------------------------------------------------------------

# One page load in eight with a new connection for each of its pieces, the others with connections that stay.
groups=(new kept)
start_visitors() { # NAME CLIENTS RATE
  "$built/rollcall-load" browse --url "$site" --page "" --page about.html --connections "$1" --clients "$2" --rate "$3" --pause 0 --for 21600 \
    --max-loads 100000000 --builds "$scratch/site/builds" --failures "$run/$1.failures" --live 2 > "$run/$1.json" 2> "$run/$1.log" &
  echo $! > "$run/$1.visitors"
  processes+=($!)
}

stop_visitors() {
  local name pid
  for name in "${groups[@]}"; do
    pid=$(cat "$run/$name.visitors")
    kill -TERM "$pid"
    wait "$pid" || { cat "$run/$name.log" >&2; return 1; }
  done
}

count() { # page loads so far
  local name sum=0 line
  for name in "${groups[@]}"; do
    line=$(tail -n 1 "$run/$name.log" 2> /dev/null)
    [[ $line =~ ^([0-9]+)\ page\ loads ]] && sum=$((sum + BASH_REMATCH[1]))
  done
  echo "$sum"
}

# --- the schedule ----------------------------------------------------------------------------------------------------

over() { # at MILLISECONDS of the schedule
  [ "$1" -ge $((minutes * 60000)) ] && { [ "$(count)" -ge "$loads" ] || [ "$1" -ge $((minutes * 180000)) ]; }
}

now() { date +%s%3N; }

carry_out() {
  local at words number=0 began carried=()
  began=$(now)
  while read -r at words; do
    while [ $(($(now) - began)) -lt "$at" ]; do sleep 0.1; done
    ! over $(($(now) - began)) || break
    number=$((number + 1))
    carry "$number" "$words" &
    carried+=($!)
    [ $((number % 10)) != 0 ] || say "event $number, $(count) page loads, $(tail -qn 1 "$run"/{new,kept}.log | grep -o '[0-9]* broken' | paste -sd' ')"
  done < <("$built/rollcall-load" plan --seed "$seed" --seconds $((minutes * 180)))
  until over $(($(now) - began)); do sleep 0.5; done
  wait "${carried[@]}" || true
}

# Names of pods by address, and pointers for the one who puts an older one back.
take_notes() {
  local last='' pointer
  while sleep 3; do
    k get pods -l app=shop --request-timeout=5s -o json 2> /dev/null | jq -r '.items[] | select(.status.podIP) | "\(.status.podIP) \(.metadata.name)"' >> "$run/pods" || true
    pointer=$(k get configmap shop-pointer --request-timeout=5s -o json 2> /dev/null | jq -r '.data["pointer.json"] // ""') || continue
    [ "$pointer" != "$last" ] && jq -e .active > /dev/null 2>&1 <<< "$pointer" && printf '%s\n' "$pointer" | jq -c . >> "$run/pointers"
    last=$pointer
  done
}

sequence() { k get configmap shop-pointer -o json | jq -r '.data["pointer.json"]' | jq -r .sequence; }

# Everything is over: the release must reach what is wanted last.
settle() {
  local why=''
  repair
  wait_for 60 "the API server" kubectl get --raw /readyz > /dev/null
  spec_until_done "$(version_patch v12 '{"suspend": false}')" > /dev/null
  k scale deployment shop --replicas=8 > /dev/null
  if ! wait_for 180 "the last release" test_settled v12 2> /dev/null; then
    why=$(k get assetrelease shop -o json | jq -r '"phase \(.status.phase), active \(.status.active.version): \(.status.message)"')
  fi
  unsettled=$why
}

explain() {
  mkdir -p "$results/logs"
  for pod in $(kubectl -n rollcall get pods -l app.kubernetes.io/component=controller -o name); do
    kubectl -n rollcall logs "$pod" > "$results/logs/${pod##*/}.log" 2> /dev/null || true
    kubectl -n rollcall logs "$pod" --previous > "$results/logs/${pod##*/}.previous.log" 2> /dev/null || true
  done
  kubectl get pods -A -o wide > "$results/logs/pods" || true
  k get assetrelease shop -o yaml > "$results/logs/release.yaml" || true
  k get events --sort-by=.lastTimestamp > "$results/logs/events" || true
  for pod in $(k get pods -l app=shop -o name); do
    k logs "$pod" -c rollcall-agent > "$results/logs/${pod##*/}.log" 2> /dev/null || true
  done
}

inside() {
  local began seconds first unsettled=''
  rm -rf "$results"
  mkdir -p "$run" "$results"
  touch "$run/pods" "$run/pointers" "$run/events.jsonl"
  say "a cluster with 8 pods"
  begin_site
  first=$(sequence)
  say "seed $seed, $minutes minutes, $loads page loads, at most $rate a second"
  began=$SECONDS
  start_visitors new 48 $(((rate + 7) / 8))
  start_visitors kept 96 $((rate * 7 / 8))
  take_notes &
  processes+=($!)
  carry_out
  say "the schedule is over; the last release"
  settle
  seconds=$((SECONDS - began))
  stop_visitors
  sort -u -o "$run/pods" "$run/pods"
  say "control groups"
  naive_order > /dev/null
  listed_then_flipped
  cp "$scratch/naive.json" "$scratch/listed.json" "$run"
  jq -n --argjson seed "$seed" --argjson seconds "$seconds" --argjson wanted "$loads" --argjson flips $(($(sequence) - first)) --arg unsettled "$unsettled" \
    '{seed: $seed, seconds: $seconds, wanted: $wanted, flips: $flips, unsettled: (if $unsettled == "" then null else $unsettled end)}' > "$run/facts.json"
  explain
  cp "$run"/{facts.json,events.jsonl,pods,new.json,kept.json,naive.json,listed.json,new.failures,kept.failures} "$results"
  "$built/rollcall-load" verdict "$results"
}

outside() {
  [[ $minutes =~ ^[1-9][0-9]?$ && $seed =~ ^[0-9]+$ && $loads =~ ^[0-9]+$ && $rate =~ ^[1-9][0-9]*$ ]] \
    || { echo "load: MINUTES is 1 to 99; SEED, LOADS and RATE are numbers" >&2; exit 2; }
  "$root/tests/cluster/setup.sh"
  build_images
  "$root/tests/cluster/cluster" run --name "load-$$" -- "$0" --inside
}

export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
case ${1:-} in
  '') outside ;;
  --inside) inside ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
