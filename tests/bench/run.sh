#!/usr/bin/env bash
# `make bench`: the shipped, static controller on a real API server, each measurement in a cluster of its own; the figures go to
# OUT (target/bench) as JSON and to the terminal as tables. 45 minutes or more with nothing else on the machine.
# It must never measure another build than the shipped one, nor change a cluster that it has not made.
#
#   run.sh [condition|http|tarpits|idle|idle-many|scale|many-pods|sweep-plan|publish]…     all of them without a word
#   FLIPS=300 BUMPS=60 PODS=100 SECONDS_IDLE=120 LOG=info RELEASES=1000 NAMESPACES=10
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
musl=x86_64-unknown-linux-musl
folder=${CARGO_TARGET_DIR:-${ROLLCALL_MUSL_FOLDER:-$HOME/.cache/rollcall/target-musl}}
programs=$folder/$musl/release
out=${OUT:-$top/target/bench}

# Compiled before a cluster is entered: from inside there is no way out. The shipped program comes last and without the
# `testing` feature, so that what is measured is what the image holds.
compile() {
  (cd "$top" && export CARGO_TARGET_DIR=$folder \
    && tests/cluster/static.sh --features testing --bin rollcall-bench --bin rollcall-sweep-bench \
    && tests/cluster/static.sh --bin rollcall)
}

# The rights of the chart and no others, and the one Secret that the Role names, as the documentation tells users to.
account() { # file
  local token
  kubectl apply --server-side -f "$top/deploy/rollcall.yaml" > /dev/null
  kubectl -n rollcall-system delete deployment rollcall --wait=false > /dev/null
  kubectl create namespace bench > /dev/null
  kubectl -n bench create role bucket-keys --verb=get --resource=secrets --resource-name=bucket-keys > /dev/null
  kubectl -n bench create rolebinding bucket-keys --role=bucket-keys --serviceaccount=rollcall-system:rollcall > /dev/null
  kubectl -n bench create rolebinding agents --clusterrole=rollcall-agent --serviceaccount=bench:default > /dev/null
  kubectl -n bench create role pointers --verb=get,watch --resource=configmaps > /dev/null
  kubectl -n bench create rolebinding pointers --role=pointers --serviceaccount=bench:default > /dev/null
  kubectl wait --for=condition=Established --timeout=60s crd/assetreleases.rollcall.dev crd/assetstores.rollcall.dev > /dev/null
  token=$(kubectl -n rollcall-system create token rollcall --duration=2h)
  cp "$KUBECONFIG" "$1"
  kubectl --kubeconfig "$1" config set-credentials account --token="$token" > /dev/null
  kubectl --kubeconfig "$1" config set-context --current --user=account > /dev/null
}

inside() { # what
  local measure
  scratch=$ROLLCALL_CLUSTER_STATE/bench
  mkdir -p "$scratch"
  trap 'cp "$scratch"/*.log "$out/" 2> /dev/null || true' EXIT
  account "$scratch/account.kubeconfig"
  "$top/examples/shop/pack.sh" v1 "$scratch/v1.tar.gz" > /dev/null
  "$top/examples/shop/pack.sh" v2 "$scratch/v2.tar.gz" > /dev/null
  local pods=${PODS:-100}
  case $1 in
    condition | http) measure=(flips --channel "$1" --count "${FLIPS:-300}") ;;
    tarpits) pods=${PODS:-3} measure=(tarpits --count "${BUMPS:-60}") ;;
    idle) measure=(idle --audit "$ROLLCALL_CLUSTER_STATE/audit.log" --seconds "${SECONDS_IDLE:-120}") ;;
    idle-many) pods=2000 measure=(idle --audit "$ROLLCALL_CLUSTER_STATE/audit.log" --seconds "${SECONDS_IDLE:-120}") ;;
    scale) measure=(scale --audit "$ROLLCALL_CLUSTER_STATE/audit.log" --seconds "${SECONDS_IDLE:-120}" --releases "${RELEASES:-1000}" --namespaces "${NAMESPACES:-10}") ;;
    many-pods) pods=${PODS:-10000} measure=(many --count "${FLIPS:-20}") ;;
    *) echo "bench: nothing is called '$1'" >&2; exit 2 ;;
  esac
  "$programs/rollcall-bench" --rollcall "$programs/rollcall" --admin "$KUBECONFIG" --account "$scratch/account.kubeconfig" \
    --builds "$scratch" --scratch "$scratch" --pods "$pods" --out "$out/$1.json" --log "${LOG:-info}" "${measure[@]}" | tee "$out/$1.md"
}

mkdir -p "$out"
if [ "${1:-}" = inside ]; then
  inside "$2"
  exit
fi
[ $# -gt 0 ] || set -- condition http tarpits idle idle-many scale many-pods sweep-plan publish
compile
# No cluster and no store: manifests of 1,000 versions, compressed and local. Two processors; the median of five.
sweep_plan() {
  local folder
  folder=$(mktemp -d)
  "$programs/rollcall-sweep-bench" make "$folder" > /dev/null
  for _ in 1 2 3 4 5; do taskset -c 0,1 "$programs/rollcall-sweep-bench" plan "$folder"; done | tee "$out/sweep-plan.jsonl" \
    | jq -s 'sort_by(.wallSeconds)[2]' | tee "$out/sweep-plan.json"
  rm -rf "$folder"
}

for what in "$@"; do
  if [ "$what" = sweep-plan ]; then
    sweep_plan
    continue
  elif [ "$what" = publish ]; then
    OUT=$out ROLLCALL=$programs/rollcall "$here/publish/run.py"
    continue
  fi
  "$top/tests/cluster/cluster" run --api-only --audit -- "$here/run.sh" inside "$what"
done
