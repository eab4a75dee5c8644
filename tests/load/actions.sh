# How the events of the schedule are carried out, one function for each. Sourced by run.sh, inside the cluster; each event is a process of its own.
# It must never end a process by its name, nor leave one stopped: what is stopped goes on, also when the event fails.
# shellcheck shell=bash
: "${root:?}" "${scratch:?}" "${namespace:?}"
# What run.sh keeps of the run.
run=$scratch/run

# --- what is noted ---------------------------------------------------------------------------------------------------

note() { # PHASE [POD-ADDRESS [NOTE]]
  jq -nc --arg at "$(date -u +%FT%T.%3NZ)" --argjson number "$number" --arg event "$words" --arg phase "$1" --arg pod "${2:-}" --arg note "${3:-}" \
    '{at: $at, number: $number, event: $event, phase: $phase, pods: (if $pod == "" then [] else [$pod] end), note: $note}' >> "$run/events.jsonl"
}

begins() { # [POD-ADDRESS [NOTE]]
  note begin "$@"
}

# Not `if carry…`: that would switch off `set -e` inside it.
carry() { # NUMBER WORDS
  local number=$1 words=$2 code=0 name rest
  read -r name rest <<< "$words"
  set +e
  # shellcheck disable=SC2086 # a list of words
  (set -e; "do_${name//-/_}" $rest) > /dev/null 2> "$scratch/event-$number.log"
  code=$?
  set -e
  if [ "$code" = 0 ]; then note end; else note failed '' "$(tail -n 1 "$scratch/event-$number.log")"; fi
}

# --- processes of containers, without the API server -------------------------------------------------------------------

# Pids of the running containers of this name in this namespace of Kubernetes, in a steady order.
pids_of() { # NAMESPACE CONTAINER
  local ids
  ids=$(ctr containers list -q "labels.\"io.kubernetes.container.name\"==$2,labels.\"io.kubernetes.pod.namespace\"==$1" | sort)
  ctr tasks list | awk -v ids="$ids" 'BEGIN { split(ids, list, "\n"); for (i in list) wanted[list[i]] } $1 in wanted && $3 == "RUNNING" { print $2 }'
}

one_of() { # NUMBER PID…
  local number=$1
  shift
  [ $# -gt 0 ] || return 1
  shift $((number % $#))
  echo "$1"
}

address_of() { # PID
  nsenter --net -t "$1" -- ip -4 -o addr show dev eth0 | sed -n 's/.* inet \([0-9.]*\)\/.*/\1/p'
}

name_of() { # PID of a container
  nsenter --uts -t "$1" -- hostname
}

agent() { # NUMBER: its pid
  local pids
  mapfile -t pids < <(pids_of "$namespace" rollcall-agent)
  one_of "$1" "${pids[@]}"
}

# Stops processes for a while. A process that ended meanwhile is nobody's fault.
stop_for() { # SECONDS PID…
  local seconds=$1
  shift
  # shellcheck disable=SC2064 # the pids of now
  trap "kill -CONT $* 2> /dev/null || true" EXIT
  kill -STOP "$@"
  sleep "$seconds"
}

controllers() { # leader | standby | both: pids
  local pid holder pids
  mapfile -t pids < <(pids_of rollcall controller)
  [ ${#pids[@]} -gt 0 ] || return 1
  if [ "$1" = both ]; then echo "${pids[@]}"; return; fi
  holder=$(kubectl -n rollcall --request-timeout=5s get lease rollcall -o jsonpath='{.spec.holderIdentity}')
  for pid in "${pids[@]}"; do
    if [ "$(name_of "$pid")" = "${holder%%_*}" ]; then [ "$1" = standby ] || { echo "$pid"; return; }; else [ "$1" = leader ] || { echo "$pid"; return; }; fi
  done
  echo "no $1 among ${#pids[@]} controllers" >&2
  return 1
}

# --- releases --------------------------------------------------------------------------------------------------------

# The API server may be stopped or starting just then.
until_done() { # COMMAND…
  local end=$((SECONDS + 45))
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.5
  done
}

spec_until_done() { # PATCH
  until_done k patch assetrelease shop --request-timeout=8s --type merge -p "$1"
}

do_release() { begins; spec_until_done "$(version_patch "$1")"; }
do_back() { do_release "$1"; }

do_pre_empt() { # SECONDS VERSION…
  local pause=$1 version
  shift
  begins
  for version in "$@"; do
    spec_until_done "$(version_patch "$version")"
    sleep "$pause"
  done
}

do_suspend() { # SECONDS
  begins
  spec_until_done '{"spec":{"suspend":true}}'
  sleep "$1"
  spec_until_done '{"spec":{"suspend":false}}'
}

do_scale() { begins; until_done k scale deployment shop --replicas="$1" --request-timeout=8s; }
do_roll() { begins; until_done k rollout restart deployment shop --request-timeout=8s; }

# --- disturbances ----------------------------------------------------------------------------------------------------

# Ends when the agent answers visitors again: until then connections are refused, which takes as long as the API server is away, too,
# because an agent reads the pointer before it serves, and the Service leads to it until kubelet could say that it is not Ready.
do_kill_agent() { # NUMBER
  local pid address
  pid=$(agent "$1")
  address=$(address_of "$pid")
  begins "$address" "$(name_of "$pid")"
  kill -KILL "$pid"
  until_done answers "http://$address:8410/" || true
}

do_stop_agent() { # NUMBER SECONDS
  local pid
  pid=$(agent "$1")
  begins "$(address_of "$pid")" "$(name_of "$pid")"
  stop_for "$2" "$pid"
}

do_kill_controller() { # WHICH
  local pids
  read -ra pids <<< "$(until_done controllers "$1")"
  [ ${#pids[@]} -gt 0 ]
  begins '' "$(name_of "${pids[0]}")"
  kill -KILL "${pids[@]}"
}

do_stop_controller() { # WHICH SECONDS
  local pids
  read -ra pids <<< "$(until_done controllers "$1")"
  [ ${#pids[@]} -gt 0 ]
  begins '' "$(name_of "${pids[0]}")"
  stop_for "$2" "${pids[@]}"
}

store() { pids_of rollcall dev-store | grep . ; }
do_kill_store() { local pid; pid=$(until_done store); begins; kill -KILL "$pid"; }
do_stop_store() { local pid; pid=$(until_done store); begins; stop_for "$1" "$pid"; }

# One event at a time has the API server: it would be started twice.
with_api() {
  exec 6> "$scratch/api.lock"
  flock 6
}

api_is_gone() { ! (: < /dev/tcp/10.88.0.1/16443) 2> /dev/null; }

do_kill_api() {
  with_api
  begins
  cd "$ROLLCALL_CLUSTER_STATE"
  kill -KILL "$(cat parts/apiserver.pid)"
  # A killed process holds its port for a moment more, and the next one would end at once.
  wait_for 10 "the API server's port" api_is_gone
  # A session of its own and none of our descriptors: it outlives this event.
  setsid bash parts/apiserver.command >> log/apiserver.log 2>&1 < /dev/null 6>&- &
  echo $! > parts/apiserver.pid
  until_done kubectl --request-timeout=3s get --raw /readyz
}

do_stop_api() { # SECONDS
  with_api
  begins
  stop_for "$1" "$(cat "$ROLLCALL_CLUSTER_STATE/parts/apiserver.pid")"
}

do_slow_api() { # SECONDS
  begins
  echo 300 > "$run/delay"
  sleep "$1"
  echo 0 > "$run/delay"
}

# The probe's port refuses, the visitors' port does not.
do_flap() { # NUMBER SECONDS
  local pid address
  pid=$(agent "$1")
  address=$(address_of "$pid")
  nft -f - <<N
table ip rollcall-load {
  set flapping { type ipv4_addr; }
  chain output { type filter hook output priority filter; policy accept; }
}
flush chain ip rollcall-load output
add rule ip rollcall-load output ip daddr @flapping tcp dport 8411 reject with tcp reset
N
  # shellcheck disable=SC2064 # the address of now
  trap "nft delete element ip rollcall-load flapping '{ $address }' 2> /dev/null || true" EXIT
  begins "$address" "$(name_of "$pid")"
  nft add element ip rollcall-load flapping "{ $address }"
  sleep "$2"
}

# --- a person at the pointer -------------------------------------------------------------------------------------------

by_hand() { until_done k patch configmap shop-pointer --request-timeout=8s --field-manager=kubectl-edit --type merge -p "$1"; }

do_edit_label() { # SECONDS
  begins
  by_hand '{"metadata":{"labels":{"team":"web"},"annotations":{"example.com/note":"seen"}}}'
  sleep "$1"
  by_hand '{"metadata":{"labels":{"team":null},"annotations":{"example.com/note":null}}}'
}

# The admission policy of pointers refuses both an older document and what is none, so the run fails if one of them is taken. In the end what
# the documentation of PointerContested and PointerUnreadable says: delete the ConfigMap.
is_refused() { # PATCH
  local answer
  ! answer=$(k patch configmap shop-pointer --request-timeout=8s --field-manager=kubectl-edit --type merge -p "$1" 2>&1) \
    && [[ $answer == *"a pointer never goes back"* ]]
}
write_pointer() { # TEXT SECONDS
  begins '' "${1:0:80}"
  until_done is_refused "$(jq -nc --arg text "$1" '{data: {"pointer.json": $text}}')"
  sleep "$2"
  until_done k delete configmap shop-pointer --request-timeout=8s --ignore-not-found
}

do_edit_put_back() { # SECONDS
  local older
  older=$(tail -n 3 "$run/pointers" | head -n 1)
  [ -n "$older" ]
  write_pointer "$older" "$1"
}

do_edit_garbage() { write_pointer 'version: v2' "$1"; }
do_edit_delete() { begins; until_done k delete configmap shop-pointer --request-timeout=8s --ignore-not-found; }

# After the schedule: what an event that failed may have left.
repair() {
  local pid
  echo 0 > "$run/delay"
  nft delete table ip rollcall-load 2> /dev/null || true
  for pid in $(pids_of "$namespace" rollcall-agent; pids_of rollcall controller; pids_of rollcall dev-store) "$(cat "$ROLLCALL_CLUSTER_STATE/parts/apiserver.pid")"; do
    kill -CONT "$pid" 2> /dev/null || true
  done
}
