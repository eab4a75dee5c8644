#!/usr/bin/env bash
# The chart as plain manifests, for those who do not use Helm.
# It must never write anything that `helm template` did not: whoever wants other settings renders the chart.
#
#   render.sh           writes deploy/rollcall.yaml and deploy/dev-store.yaml
#   render.sh --check   says which of them differ from the chart, and fails
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
helm=$(tests/cluster/binaries.sh path helm)

header="# Rendered from charts/rollcall by deploy/render.sh; do not edit."

rendered() { # ARGUMENTS…
  "$helm" template rollcall charts/rollcall --namespace rollcall-system "$@" | sed 's|app.kubernetes.io/managed-by: Helm|app.kubernetes.io/managed-by: kubectl|'
}

controller() {
  echo "$header"
  cat <<'K'
apiVersion: v1
kind: Namespace
metadata:
  name: rollcall-system
  labels: {pod-security.kubernetes.io/enforce: restricted}
K
  # The dev store beside it is not public; nothing is there unless deploy/dev-store.yaml is applied, too.
  rendered --set "egress.allowedHosts={rollcall-dev-store.rollcall-system:9000,rollcall-dev-store.rollcall-system.svc:9000,rollcall-dev-store.rollcall-system.svc.cluster.local:9000}"
}

# Without keys: what is committed is known to everybody. Whoever applies it makes them.
dev_store() {
  echo "$header"
  cat <<'K'
# It starts once its keys are there. Make them, once:
#   kubectl -n rollcall-system create secret generic rollcall-dev-store \
#     --from-literal=accessKeyId="$(openssl rand -hex 10)" --from-literal=secretAccessKey="$(openssl rand -hex 20)"
K
  rendered --set devStore.enabled=true --set devStore.createSecret=false --show-only templates/dev-store.yaml
}

written() { # FUNCTION FILE
  "$1" > "$2"
}

same() { # FUNCTION FILE
  diff -u "$2" <("$1") || { echo "$2 is stale; run deploy/render.sh" >&2; return 1; }
}

case ${1:-write} in
  write) do=written ;;
  --check) do=same ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
code=0
$do controller deploy/rollcall.yaml || code=1
$do dev_store deploy/dev-store.yaml || code=1
exit $code
