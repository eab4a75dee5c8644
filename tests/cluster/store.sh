#!/usr/bin/env bash
# A real, strict third-party object store on loopback (versitygw over a folder), for contract tests and for trying things out.
# It must never listen on another address or keep its data.
#
#   store.sh run CMD…   starts it, runs CMD with ENDPOINT, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
#                       AWS_REGION set, ends it; the exit code is CMD's
#   store.sh serve      prints the same as NAME=value lines and PID, then runs until it is ended
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export AWS_ACCESS_KEY_ID=rollcall AWS_SECRET_ACCESS_KEY=rollcall-secret AWS_REGION=us-east-1

fail() { echo "store: $*" >&2; exit 1; }

# Free now; another program may take it before the store does, which then ends, and the next port is tried.
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

answers() {
  curl -s -o /dev/null --noproxy '*' --max-time 1 "$1"
}

start_once() {
  ENDPOINT=http://127.0.0.1:$(free_port)
  setpriv --pdeathsig KILL "$program" --access "$AWS_ACCESS_KEY_ID" --secret "$AWS_SECRET_ACCESS_KEY" --region "$AWS_REGION" \
    --port "${ENDPOINT#http://}" posix "$folder/data" > "$folder/log" 2>&1 < /dev/null &
  pid=$!
  for _ in $(seq 100); do
    answers "$ENDPOINT" && return
    kill -0 "$pid" 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}

finish() {
  if [ -n "${pid:-}" ]; then
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$folder"
}

mode=${1:-}
[ "$mode" = run ] || [ "$mode" = serve ] || { sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
shift
program=$("$here/binaries.sh" path versitygw)
folder=$(mktemp -d)
mkdir "$folder/data"
trap finish EXIT
trap 'exit 130' INT TERM
start_once || start_once || start_once || { cat "$folder/log" >&2; fail "versitygw did not start"; }
export ENDPOINT AWS_ENDPOINT_URL=$ENDPOINT
if [ "$mode" = run ]; then
  "$@"
else
  printf '%s\n' "ENDPOINT=$ENDPOINT" "AWS_ENDPOINT_URL=$ENDPOINT" "AWS_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID" \
    "AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY" "AWS_REGION=$AWS_REGION" "PID=$pid"
  wait "$pid"
fi
