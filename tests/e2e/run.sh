#!/usr/bin/env bash
# Releases on a real cluster, under load: helm installs the chart, real pods roll, visitors load pages through the Service while
# pods, agents and the controller end. Each check is a function whose name is the sentence that must hold; they build on each
# other. About 2 minutes; the last line counts them.
# It must never leave a cluster behind, nor take a page load that failed for a good one.
#
#   run.sh            all of it, on a cluster of its own
#   run.sh --inside   the part that runs inside the cluster
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d /tmp/rollcall-e2e.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
# shellcheck source=tests/e2e/harness.sh
. "$root/tests/e2e/harness.sh"

broken() { echo "# $*" >&2; return 1; }
same() { [ "$2" = "$3" ] || broken "$1: expected '$2', found '$3'"; }
status() { k get assetrelease shop -o jsonpath="{.status.$1}"; }
pointer() { k get configmap shop-pointer -o jsonpath='{.data.pointer\.json}' | jq -r "$1"; }
ready_pods() { k get pods -l app=shop -o json | jq '[.items[] | select(any(.status.conditions[]?; .type == "Ready" and .status == "True"))] | length'; }
# Names of pods that are Ready and stay.
standing_pods() { k get pods -l app=shop -o json | jq -r '.items[] | select(.metadata.deletionTimestamp == null) | select(any(.status.conditions[]?; .type == "Ready" and .status == "True")) | .metadata.name'; }
agent_restarts() { k get pod "$1" -o json | jq '[.status.initContainerStatuses[]? | select(.name == "rollcall-agent") | .restartCount] | add'; }
phase_is() { [ "$(status phase)" = "$1" ]; }
spec() { k patch assetrelease shop --type merge -p "$1" > /dev/null; }

# NAME of the visitors; every page load was whole, and some were of each VERSION.
all_whole() { # NAME VERSION…
  local name=$1 version
  shift
  visitors_leave "$name"
  [ "$(jq .broken "$scratch/$name.json")" = 0 ] || broken "broken page loads: $(jq -c '{pageLoads, broken, failedPieces, examples: .examples[:3]}' "$scratch/$name.json")"
  for version in "$@"; do
    jq -e --arg version "$version" '.versions[$version].pageLoads > 0' "$scratch/$name.json" > /dev/null || broken "nobody loaded a page of $version"
  done
  echo "# $(jq -r '"\(.pageLoads) page loads, \(.requests) requests, \(.broken) broken, \(.connectRetries) connections tried again"' "$scratch/$name.json")"
}

release_under_watch() { # VERSION SPEC-PATCH
  watch_until "$1" --for 60 -- kubectl -n "$namespace" patch assetrelease shop --type merge -p "$2" 2> "$scratch/story" || { cat "$scratch/story" >&2; return 1; }
}

# --- checks ----------------------------------------------------------------------------------------------------------

helm_installs_the_chart_and_the_controller_becomes_ready() {
  load_images
  prepare_namespace
  install_chart
  serve_builds
  kubectl -n rollcall rollout status deployment/rollcall --timeout=5s > /dev/null
}

a_live_application_is_adopted_without_a_broken_page() {
  kubectl apply -k "$root/tests/e2e/shop" > /dev/null
  k rollout status deployment/shop --timeout=60s > /dev/null
  wait_for 15 "the Service" answers "$site"
  visitors_come adopted --url "$site"
  k apply -f "$root/deploy/demo/store.yaml" > /dev/null
  apply_release v1
  wait_for 30 "v1 to be active" test_active v1
  kubectl apply -k "$root/tests/e2e/adopted" > /dev/null
  k rollout status deployment/shop --timeout=90s > /dev/null
  k patch service shop --type merge -p '{"spec":{"ports":[{"port":80,"targetPort":"assets"}]}}' > /dev/null
  sleep 2
  release_under_watch v2 "$(version_patch v2)"
  sleep 2
  all_whole adopted v1 v2
}

test_active() { [ "$(status active.version)" = "$1" ]; }

a_release_is_whole_though_a_pod_an_agent_and_the_controller_end_in_the_middle() {
  local pods before
  mapfile -t pods < <(standing_pods)
  before=$(agent_restarts "${pods[1]}")
  visitors_come disturbed --url "$site"
  sleep 1
  spec "$(version_patch v3)"
  k delete pod "${pods[0]}" --wait=false > /dev/null
  signal_agent TERM "${pods[1]}"
  kubectl -n rollcall delete pods -l app.kubernetes.io/component=controller --wait=false > /dev/null
  release_under_watch v3 '{}'
  k rollout status deployment/shop --timeout=60s > /dev/null
  wait_for 30 "the agent to come back" restarted "${pods[1]}" "$before"
  sleep 2
  all_whole disturbed v2 v3
}

restarted() { [ "$(agent_restarts "$1")" -gt "$2" ] && standing_pods | grep -qx "$1"; }

# A process that is killed cannot finish its answers: what was on its way, and new connections until kubelet noticed, are lost
# with any server. But no answer may be wrong.
a_killed_agent_costs_connections_but_gives_no_wrong_answer() {
  local pod before
  pod=$(standing_pods | head -1)
  before=$(agent_restarts "$pod")
  visitors_come killed --url "$site"
  sleep 1
  spec "$(version_patch v2)"
  signal_agent KILL "$pod"
  release_under_watch v2 '{}'
  wait_for 30 "the agent to come back" restarted "$pod" "$before"
  sleep 1
  visitors_leave killed
  same "answers that were wrong" '{} {}' "$(jq -c '.failedPieces | del(.refused, .cut, .late)' "$scratch/killed.json") $(jq -c .failedStatuses "$scratch/killed.json")"
  echo "# $(jq -r '"\(.pageLoads) page loads, \(.broken) cut short by the killed process"' "$scratch/killed.json")"
}

signal_agent() { # SIGNAL POD
  local id
  id=$(k get pod "$2" -o json | jq -r '.status.initContainerStatuses[] | select(.name == "rollcall-agent") | .containerID')
  ctr tasks kill -s "$1" "${id#containerd://}"
}

three_are_ready() { [ "$(ready_pods)" -ge 3 ]; }

a_candidate_that_cannot_be_loaded_costs_no_ready_pod_and_is_given_up() {
  local fewest=3 ready end
  # The agent that was killed before may still wait for kubelet, which starts it later with each time.
  wait_for 60 "three Ready pods" three_are_ready
  end=$((SECONDS + 40))
  visitors_come unloadable --url "$site"
  k patch assetstore shop --type merge -p "{\"spec\":{\"internalUrl\":\"http://$builds/nothing/\"}}" > /dev/null
  spec "$(version_patch v4 '{"progressDeadlineSeconds": 10}')"
  until phase_is Stalled || [ "$SECONDS" -ge "$end" ]; do
    ready=$(ready_pods)
    [ "$ready" -ge "$fewest" ] || fewest=$ready
    sleep 0.3
  done
  phase_is Stalled || broken "not Stalled after 40 s: $(status phase), $(status message)"
  same "fewest Ready pods" 3 "$fewest"
  same "candidate after giving up" null "$(pointer .candidate)"
  same "active version" v2 "$(pointer .active.version)"
  k patch assetstore shop --type merge -p '{"spec":{"internalUrl":null}}' > /dev/null
  k annotate assetrelease shop rollcall.dev/requestedAt="$(date +%s)" > /dev/null
  wait_for 30 "v4 once the store answers" test_active v4
  sleep 1
  all_whole unloadable v2 v4
}

a_suspended_release_stays_where_it_is_until_it_is_resumed() {
  spec "$(version_patch v1 '{"suspend": true}')"
  wait_for 15 "phase Suspended" phase_is Suspended
  sleep 2
  same "active version" v4 "$(pointer .active.version)"
  same "candidate" null "$(pointer .candidate)"
  release_under_watch v1 '{"spec":{"suspend":false}}'
}
# Its process gives nothing back: the other one waits until the Lease has expired, and the release with it. No page does.
the_other_controller_takes_over_from_a_killed_leader() {
  local before
  before=$(leader)
  same "controllers that lead" 1 "$(leading)"
  visitors_come leaderless --url "$site"
  sleep 1
  kill_controller "${before%%_*}"
  release_under_watch v2 "$(version_patch v2)"
  [ "$(leader)" != "$before" ] || broken "the Lease is still held by $before"
  wait_for 30 "the killed controller to stand by" test_leading 1
  release_under_watch v1 "$(version_patch v1)"
  all_whole leaderless v1 v2
}

leader() { kubectl -n rollcall get lease rollcall -o jsonpath='{.spec.holderIdentity}'; }
controllers() { kubectl -n rollcall get pods -l app.kubernetes.io/component=controller -o json | jq -r '.items[] | select(.metadata.deletionTimestamp == null) | .metadata.name'; }
# How many of both say that they lead, from their metrics.
leading() { for pod in $(controllers); do kubectl get --raw "/api/v1/namespaces/rollcall/pods/$pod:8080/proxy/metrics"; done | awk '$1 == "rollcall_leading" { sum += $2; count++ } END { print count == 2 ? sum : "unknown" }'; }
test_leading() { [ "$(leading 2> /dev/null)" = "$1" ]; }
kill_controller() { # POD
  local id
  id=$(kubectl -n rollcall get pod "$1" -o jsonpath='{.status.containerStatuses[0].containerID}')
  ctr tasks kill -s KILL "${id#containerd://}"
}

a_manual_release_waits_until_its_version_is_approved_by_name() {
  spec "$(version_patch v2 '{"activation": {"mode": "Manual", "approvedVersion": "v1"}}')"
  wait_for 20 "phase AwaitingApproval" phase_is AwaitingApproval
  sleep 2
  same "active version" v1 "$(pointer .active.version)"
  release_under_watch v2 '{"spec":{"activation":{"approvedVersion":"v2"}}}'
}

a_rollback_needs_no_source() {
  k scale deployment/builds --replicas=0 > /dev/null
  release_under_watch v1 '{"spec":{"version":"v1","source":null,"activation":{"mode":"Automatic","approvedVersion":null}}}'
  kubectl wait -n "$namespace" --for=condition=Ready assetrelease/shop --timeout=5s > /dev/null
}

# Without this, "0 broken" above could mean that the visitors see nothing.
the_naive_order_breaks_pages_in_the_same_harness() {
  naive_order > /dev/null
  jq -e '.broken > 0 and .failedStatuses["404"] > 0' "$scratch/naive.json" > /dev/null || broken "no page was broken: $(cat "$scratch/naive.json")"
  echo "# $(jq -r '"\(.pageLoads) page loads, \(.broken) broken"' "$scratch/naive.json")"
}

checks=(
  helm_installs_the_chart_and_the_controller_becomes_ready
  a_live_application_is_adopted_without_a_broken_page
  a_release_is_whole_though_a_pod_an_agent_and_the_controller_end_in_the_middle
  a_killed_agent_costs_connections_but_gives_no_wrong_answer
  a_candidate_that_cannot_be_loaded_costs_no_ready_pod_and_is_given_up
  a_suspended_release_stays_where_it_is_until_it_is_resumed
  the_other_controller_takes_over_from_a_killed_leader
  a_manual_release_waits_until_its_version_is_approved_by_name
  a_rollback_needs_no_source
  the_naive_order_breaks_pages_in_the_same_harness
)

explain() {
  k get assetrelease shop -o json 2> /dev/null | jq -c '.status | {phase, message, pods, active: .active.version, candidate, givenUp}' | sed 's/^/# /'
  k get pods -o wide --no-headers 2> /dev/null | sed 's/^/# /'
  kubectl -n rollcall logs deployment/rollcall --tail=15 2> /dev/null | sed 's/^/# /'
}

# Not `if "$check"`: that would switch off `set -e` inside it.
inside() {
  local check number=0 passed=0 failed=0 began code
  echo "1..${#checks[@]}"
  for check in "${checks[@]}"; do
    number=$((number + 1)) began=$SECONDS code=0
    set +e
    (set -e; "$check")
    code=$?
    set -e
    if [ "$code" = 0 ]; then
      passed=$((passed + 1))
      echo "ok $number - ${check//_/ } ($((SECONDS - began)) s)"
    else
      failed=$((failed + 1))
      echo "not ok $number - ${check//_/ } ($((SECONDS - began)) s)"
      nobody_stays
      explain
    fi
  done
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}

outside() {
  "$root/tests/cluster/setup.sh"
  build_images
  "$root/tests/cluster/cluster" run --name "e2e-$$" -- "$0" --inside
}

export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
case ${1:-} in
  '') outside ;;
  --inside) inside ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
