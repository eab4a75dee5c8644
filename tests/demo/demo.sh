#!/usr/bin/env bash
# `make demo`: a shop of three pods goes through four releases under load on a Kubernetes of its own, each step printed as it happens; then
# the same change in the naive order, for comparison. Fails when a visitor of the first met a broken page, or none of the second.
# It must never leave a cluster behind, unless it was asked to, nor use one that it did not start.
#
#   demo.sh          ends by itself and cleans up
#   KEEP=1 demo.sh   keeps the cluster, and prints a URL and commands for it
#   demo.sh --inside the part that runs inside the cluster
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d /tmp/rollcall-demo.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
# shellcheck source=tests/e2e/harness.sh
. "$root/tests/e2e/harness.sh"
cluster=$root/tests/cluster/cluster

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
heading() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '  %s\n' "$*"; }

# --- the guarded run -------------------------------------------------------------------------------------------------

install() {
  heading "A Kubernetes of its own, and Rollcall in it"
  say "$(kubectl get nodes --no-headers | awk '{print "node " $1 ", " $2 ", " $5}')"
  load_images
  prepare_namespace
  install_chart
  say "helm install rollcall: $(kubectl -n rollcall get deployments --no-headers | awk '{print $1 " " $2}' | paste -sd, | sed 's/,/, /')"
  serve_builds
}

first_release() {
  heading "First release: v1, for three pods that wait for it"
  kubectl apply -k "$root/deploy/demo" > /dev/null
  wait_for 30 "three agents to announce themselves" announced 3
  # Suspended until it is watched, or the watcher would miss its first steps.
  apply_release v1 '{"suspend": true}'
  watch_until v1 --for 60 -- kubectl -n "$namespace" patch assetrelease shop --type merge -p '{"spec":{"suspend":false}}'
  k rollout status deployment/shop --timeout=30s > /dev/null
  wait_for 15 "the Service" answers "$site"
  flips "v1, first release"
}

announced() { # NUMBER
  [ "$(k get pods -l app=shop -o json | jq '[.items[].status.conditions[]? | select(.type == "rollcall.dev/assets")] | length')" = "$1" ]
}

flips() { # NAME: keeps what was measured for the table
  jq -r --arg name "$1" '.flips[] | [$name, .lastReportToFlipMs, .stageToFlipMs, .allServingAfterMs] | map(. // "-") | @tsv' "$scratch/watch.json" >> "$scratch/flips"
}

release() { # VERSION NAME TEXT
  heading "$3"
  watch_until "$1" --for 60 -- kubectl -n "$namespace" patch assetrelease shop --type merge -p "$(version_patch "$1")"
  flips "$2"
  sleep 2
}

guarded() {
  install
  first_release
  visitors_come guarded --url "$site"
  sleep 3
  release v2 "v1 -> v2" "v1 -> v2, while four visitors load pages with all their assets"
  release v3 "v2 -> v3" "v2 -> v3, which shares most chunks with v2"
  release v2 "v3 -> v2, rollback" "Back to v2: nothing is uploaded, the same roll call"
  visitors_leave guarded
  echo
  k get assetrelease shop | sed 's/^/  /'
}

# --- the end ---------------------------------------------------------------------------------------------------------

figure() { # NAME PATH
  jq -r "$2" "$scratch/$1.json"
}

row() { # LABEL NAME FLIPS
  printf '  %-22s %10s %12s %10s %8s\n' "$1" "$(figure "$2" .pageLoads)" "$(figure "$2" .broken)" "$(figure "$2" .requests)" "$3"
}

table() {
  heading "What the visitors met"
  printf '  %-22s %10s %12s %10s %8s\n' '' 'page loads' 'broken' 'requests' 'switches'
  row "Rollcall" guarded 3
  row "naive order" naive 1
  say "page loads by version: Rollcall $(by_version guarded); naive order $(by_version naive)"
  say "connections that were made at the second attempt: Rollcall $(figure guarded .connectRetries), naive order $(figure naive .connectRetries)"
  [ "$(figure naive .broken)" = 0 ] || say "for example: $(figure naive '.examples[0] | "a page of \(.version) asked \(.pod) for \(.url | split("/") | last): \(.seen)"')"
  heading "How long it took (measured by the watches of a third client)"
  printf '  %-22s %12s %12s %12s\n' '' 'last report' 'staged' 'flip to all'
  printf '  %-22s %12s %12s %12s\n' '' 'to flip' 'to flip' 'serving'
  awk -F'\t' 'function ms(t) { return t == "-" ? t : t " ms" } { printf "  %-22s %12s %12s %12s\n", $1, ms($2), ms($3), ms($4) }' "$scratch/flips"
  ! cut -f2- "$scratch/flips" | grep -qwF -- - || say "-: not measured, because the watch of the pointer was ahead of the watch of the pods"
}

by_version() { # NAME
  figure "$1" '[.versions | to_entries[] | "\(.key) \(.value.pageLoads)"] | join(", ")'
}

verdict() {
  echo
  if [ "$(figure guarded .broken)" != 0 ]; then
    echo "FAILED: visitors of the guarded run met broken pages:"
    figure guarded '.examples[] | "  \(.at) \(.page) (\(.version)): \(.flaw) \(.seen) \(.pod // "") \(.url)"'
    return 1
  fi
  if [ "$(figure naive .broken)" = 0 ]; then
    echo "FAILED: the naive order broke no page, so the figure above proves nothing"
    return 1
  fi
  echo "No page was broken by Rollcall's releases; the naive order broke $(figure naive .broken) of $(figure naive .pageLoads)."
}

inside() {
  guarded
  heading "The naive order: the same site, but each pod switches as soon as it sees v2"
  naive_order
  table
  verdict
}

# --- outside ---------------------------------------------------------------------------------------------------------

exposed() {
  local port
  for port in 8080 8081 8082 8083; do
    "$cluster" expose --name demo "$port" shop.shop.svc.cluster.local:80 2> /dev/null && return
  done
  echo "(no port from 8080 to 8083 is free)"
}

kept() {
  heading "The cluster stays"
  cat <<K
  The shop, on this machine: $(exposed)/

  tests/cluster/cluster exec --name demo -- CMD     runs CMD inside, for example:
    kubectl -n shop get assetrelease shop -w
    kubectl -n shop patch assetrelease shop --type merge -p '{"spec":{"version":"v1"}}'
    kubectl -n shop events --for assetrelease/shop
    kubectl -n shop get configmap shop-pointer -o yaml
    kubectl -n shop delete pod -l app=shop
  tests/cluster/cluster down --name demo            ends it; nothing is left
K
}

outside() {
  [ -z "${ROLLCALL_CONTEXT:-}" ] || { echo "demo: it starts a cluster of its own and takes no ROLLCALL_CONTEXT" >&2; exit 1; }
  heading "Programs and images (the first build takes about 5 minutes on two cores)"
  "$root/tests/cluster/setup.sh"
  build_images
  if [ -z "${KEEP:-}" ]; then
    "$cluster" run --name "demo-$$" -- "$0" --inside
    return
  fi
  local code=0
  "$cluster" down --name demo
  "$cluster" up --name demo
  "$cluster" exec --name demo -- "$0" --inside || code=$?
  kept
  return "$code"
}

export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
case ${1:-} in
  '') outside ;;
  --inside) inside ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
