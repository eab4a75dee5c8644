# The control group list-then-flip of `make load`; the naive order is in tests/e2e/harness.sh. Sourced by run.sh, inside the cluster.
# It must never be taken for the product: it shows what the visitors find when pods are asked only once.
# shellcheck shell=bash
: "${root:?}" "${scratch:?}"

listed() { kubectl -n listed "$@"; }
listed_pods() { listed get pods -o json | jq -r '.items[] | select(.metadata.deletionTimestamp == null) | select(any(.status.conditions[]?; .type == "Ready" and .status == "True")) | .status.podIP'; }
listed_ready() { [ "$(listed_pods | wc -l)" -ge "$1" ]; }

# Leaves $scratch/listed.json. A pod that starts between the list and the flip breaks pages only while the mounts of the others say so before its
# own: at times they do not, and it is done once more.
listed_then_flipped() {
  local url=http://listed.listed.svc.cluster.local/ version
  kubectl create namespace listed > /dev/null
  listed apply -f "$root/tests/load/listed.yaml" > /dev/null
  listed rollout status deployment/listed --timeout=60s > /dev/null
  wait_for 15 "the Service" answers "$url"
  for version in v2 v3 v1 v2 v3 v1; do
    visitors_come listed --url "$url"
    sleep 1
    list_then_flip "$version"
    sleep 9
    visitors_leave listed
    if jq -e '.broken > 0' "$scratch/listed.json" > /dev/null; then return; fi
  done
}

list_then_flip() { # VERSION
  local address addresses pods
  addresses=$(listed_pods)
  pods=$(wc -l <<< "$addresses")
  for address in $addresses; do
    curl -fsS --max-time 2 "http://$address:8080/hold/$1" > /dev/null
  done
  listed scale deployment listed --replicas=$((pods + 1)) > /dev/null
  wait_for 60 "a pod that is not in the list" listed_ready $((pods + 1))
  # Kubelet looks at the mounts of a pod that becomes Ready, and again some seconds later: only then the others have a chance to be first.
  sleep 2
  listed patch configmap version --type merge -p "{\"data\":{\"version\":\"$1\"}}" > /dev/null
}
