# What the demo and the tests on a real cluster share: images, the chart, the shop, visitors. Sourced, after `root` is set to the
# repository and `scratch` to a folder. Outside the cluster only `build_images` may be called: in there nothing can be downloaded.
# It must never touch a cluster that it was not entered into.
# shellcheck shell=bash
: "${root:?}" "${scratch:?}"

MUSL=x86_64-unknown-linux-musl
target=$HOME/.cache/rollcall/target-musl
# A folder with the three static programs; then nothing is compiled.
built=${ROLLCALL_PROGRAMS:-$target/$MUSL/release}
images=$root/target/images
namespace=shop
# shellcheck disable=SC2034 # for those who source this
site=http://shop.$namespace.svc.cluster.local/
builds=builds.$namespace.svc.cluster.local

k() { kubectl -n "$namespace" "$@"; }

# --- outside ---------------------------------------------------------------------------------------------------------

build_images() {
  [ -n "${ROLLCALL_PROGRAMS:-}" ] || compile
  mkdir -p "$images"
  "$root/tests/cluster/image.py" rollcall.local/rollcall:dev "$images/rollcall-image.tar" "$built/rollcall" \
    --file /etc/ssl/certs/ca-certificates.crt=/etc/ssl/certs/ca-certificates.crt
  naive_image
}

# The programs of the tests need the library's test feature, the shipped one must not have it: so two builds, one folder.
compile() {
  cd "$root" || return
  CARGO_TARGET_DIR=$target tests/cluster/static.sh --bin rollcall
  # C's __DATE__ would make each day's program another one; `make reproducible` compares all bytes, and takes two builds.
  if grep -aqF "$(LC_ALL=C date -u '+%b %e %Y')" "$target/x86_64-unknown-linux-musl/release/rollcall"; then
    echo "the program holds the date of its build: see tests/cluster/static.sh" >&2
    return 1
  fi
  CARGO_TARGET_DIR=$target tests/cluster/static.sh --features testing --bin rollcall-load --bin rollcall-naive
}

naive_image() {
  local file files=()
  while read -r file; do
    files+=(--file "$root/examples/shop/builds/$file=/builds/$file")
  done < <(cd "$root/examples/shop/builds" && find . -type f -printf '%P\n' | LC_ALL=C sort)
  "$root/tests/cluster/image.py" rollcall.local/naive:dev "$images/naive-image.tar" "$built/rollcall-naive" "${files[@]}"
}

# --- inside ----------------------------------------------------------------------------------------------------------

load_images() {
  ctr images import "$images/rollcall-image.tar" > /dev/null
  ctr images import "$images/naive-image.tar" > /dev/null
}

# The keys are ours, so that the shop's Secret can be made without reading the store's. More options go to helm.
# shellcheck disable=SC2120 # not all who call it have any
install_chart() { # [OPTION…]
  helm install rollcall "$root/charts/rollcall" --namespace rollcall --create-namespace --wait --timeout 60s \
    --set image.repository=rollcall.local/rollcall,image.tag=dev,image.pullPolicy=Never \
    --set devStore.enabled=true,devStore.accessKeyId=demo,devStore.secretAccessKey=demo-secret \
    --set "egress.allowedHosts={$builds},secrets[0].namespace=$namespace,secrets[0].name=store-keys" "$@" > "$scratch/helm.log" 2>&1 \
    || { cat "$scratch/helm.log" >&2; return 1; }
}

# The archives are packed now, so their sums are known only now. v4 is v3 with another label in its pages.
serve_builds() {
  local version shop=$scratch/examples
  mkdir -p "$shop/builds" "$scratch/archives"
  cp "$root/examples/shop/pack.sh" "$shop"
  cp -R "$root"/examples/shop/builds/v[123] "$shop/builds"
  cp -R "$root/examples/shop/builds/v3" "$shop/builds/v4"
  find "$shop/builds/v4" \( -name '*.html' -o -name version.json \) -exec sed -i 's/"v3"/"v4"/' {} +
  for version in v1 v2 v3 v4; do
    "$shop/pack.sh" "$version" "$scratch/archives/$version.tar.gz" > /dev/null
  done
  k create configmap builds --from-file="$scratch/archives" > /dev/null
  k apply -f "$root/tests/e2e/builds.yaml" > /dev/null
  k rollout status deployment/builds --timeout=30s > /dev/null
}

sum_of() { # VERSION
  sha256sum < "$scratch/archives/$1.tar.gz" | cut -d' ' -f1
}

# The namespace, and the keys that the AssetStore names.
prepare_namespace() {
  kubectl apply -f "$root/deploy/demo/namespace.yaml" > /dev/null
  k create secret generic store-keys --from-literal=accessKeyId=demo --from-literal=secretAccessKey=demo-secret > /dev/null
}

# The spec of a version, as a merge patch. $2: more of the spec, as JSON.
version_patch() { # VERSION [SPEC]
  jq -nc --arg version "$1" --arg url "http://$builds/{version}.tar.gz" --arg sum "$(sum_of "$1")" --argjson more "${2:-{\}}" \
    '{spec: ({version: $version, source: {http: {url: $url, sha256: $sum}}} + $more)}'
}

# The release as deploy/demo has it, with the sum that the archive has here.
apply_release() { # VERSION [SPEC]
  kubectl patch --local -f "$root/deploy/demo/release.yaml" --type merge -p "$(version_patch "$@")" -o yaml | kubectl apply -f - > /dev/null
}

answers() { # URL
  curl -fsS -o /dev/null --max-time 1 "$1" 2> /dev/null
}

wait_for() { # SECONDS WHAT COMMAND…
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ "$SECONDS" -ge "$end" ]; then echo "waited too long for $what" >&2; return 1; fi
    sleep 0.1
  done
}

# Visitors in the background; their summary is printed by `visitors_leave`. Not faster than 400 connections a second, whatever the
# machine: each of them is a closed port for a minute, and there are 28,000.
visitors_come() { # NAME [OPTION…]
  local name=$1
  shift
  "$built/rollcall-load" browse --clients 4 --pause 150 --for 240 "$@" > "$scratch/$name.json" 2> "$scratch/$name.log" &
  echo $! > "$scratch/$name.pid"
}

visitors_leave() { # NAME
  local pid
  pid=$(cat "$scratch/$1.pid")
  rm "$scratch/$1.pid"
  kill -TERM "$pid"
  wait "$pid" || { cat "$scratch/$1.log" >&2; return 1; }
}

# For the end of a check that failed.
nobody_stays() {
  local file
  for file in "$scratch"/*.pid; do
    [ -e "$file" ] || continue
    kill -TERM "$(cat "$file")" 2> /dev/null || true
    rm "$file"
  done
}

# Runs CMD once everything is watched, tells the rollout, and leaves what was measured in $scratch/watch.json.
watch_until() { # VERSION [OPTION…] -- CMD…
  local version=$1
  shift
  "$built/rollcall-load" watch --namespace "$namespace" --release shop --pods app=shop --until "$version" "$@" > "$scratch/watch.json"
}

# --- the naive order, for comparison -----------------------------------------------------------------------------------

# Each pod has one build at a time and takes v2 as soon as its own mount of a ConfigMap says so. Tells who switched when.
naive_order() {
  local version url=http://naive.naive.svc.cluster.local/
  kubectl create namespace naive > /dev/null
  kubectl -n naive apply -f "$root/tests/e2e/naive.yaml" > /dev/null
  kubectl -n naive rollout status deployment/naive --timeout=30s > /dev/null
  wait_for 15 "the Service" answers "$url"
  naive_change v2 "$url"
  # At times the mounts of all three pods on the one node are refreshed within a moment, and no visitor comes in between: once more.
  for version in v1 v2 v1; do
    if jq -e '.broken > 0' "$scratch/naive.json" > /dev/null; then return; fi
    naive_change "$version" "$url"
  done
}

naive_change() { # VERSION URL
  visitors_come naive --url "$2"
  sleep 3
  kubectl -n naive patch configmap version --type merge -p "{\"data\":{\"version\":\"$1\"}}" > /dev/null
  tell_switches "$1"
  sleep 2
  visitors_leave naive
}

tell_switches() { # VERSION
  local began name address switched=''
  began=$(date +%s%N)
  until [ "$(wc -w <<< "$switched")" = 3 ]; do
    while read -r name address; do
      case $switched in *"$name"*) continue ;; esac
      [ "$(version_of "$address")" = "$1" ] || continue
      switched="$switched $name"
      printf '  %5s s  switched    %s serves %s: %d/3\n' "$(seconds_since "$began")" "$name" "$1" "$(wc -w <<< "$switched")"
    done < <(kubectl -n naive get pods --no-headers -o custom-columns=N:.metadata.name,I:.status.podIP)
    [ $((($(date +%s%N) - began) / 1000000000)) -lt 60 ] || { echo "the naive pods never heard of $1" >&2; return 1; }
  done
}

version_of() { # POD-ADDRESS
  curl -fsS --max-time 1 "http://$1:8080/version.json" 2> /dev/null | jq -r .version
}

seconds_since() { # NANOSECONDS
  local tenths=$((($(date +%s%N) - $1) / 100000000))
  echo "$((tenths / 10)).$((tenths % 10))"
}
