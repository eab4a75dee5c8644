#!/usr/bin/env bash
# Finds or makes the programs a test cluster is made of, each at one pinned version, and prints where they are.
# It must never run a download whose SHA-256 is not pinned in release.sums, nor leave half a file under a final name.
#
#   binaries.sh path NAME          the path of one program, found or made
#   binaries.sh link FOLDER NAME…  puts symbolic links to programs into a folder
#   binaries.sh list [SET]         names: all (a cluster), api (`cluster up --api-only`), stores (of the tests), or tests (all of them)
#   binaries.sh make [SET]         finds or makes them, says where they are
#   binaries.sh fetch URL FILE     a pinned download; fails with 3 when there is no pin, 4 when the sum is wrong
#   binaries.sh pin                for maintainers with an open network: writes release.sums anew
#
# In this order: the folder ROLLCALL_BINARIES; the cache ~/.cache/rollcall/bin; the official release, if pinned; a build as
# Go modules (modules/); ministack, a Python program, comes from pip. The whole set takes about 10 minutes of two cores that way, and only once.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$HOME/.cache/rollcall/bin
sums=${ROLLCALL_RELEASE_SUMS:-$here/release.sums}
KUBERNETES=1.36.3 ETCD=3.6.16 COREDNS=1.15.0 HELM=4.3.1 VERSITYGW=1.8.0 RCLONE=1.75.1 MINISTACK=1.5.33
API="etcd kube-apiserver kube-controller-manager kubectl"
ALL="$API kube-scheduler kubelet kube-proxy coredns helm versitygw"
# Stores that only the tests of stores need: rclone takes three to six minutes of one core, once. Before the tests begin, as nothing
# can be downloaded where they run.
STORES="rclone ministack"

say() { echo "binaries: $*" >&2; }
fail() { say "$*"; exit 1; }

names() {
  case $1 in
    all) echo "$ALL" ;;
    api) echo "$API" ;;
    stores) echo "$STORES" ;;
    tests) echo "$ALL $STORES" ;;
    *) fail "unknown set '$1': all, api, stores or tests" ;;
  esac
}

version() { # NAME
  case $1 in
    etcd) echo $ETCD ;;
    coredns) echo $COREDNS ;;
    helm) echo $HELM ;;
    versitygw) echo $VERSITYGW ;;
    rclone) echo $RCLONE ;;
    ministack) echo $MINISTACK ;;
    kube*) echo $KUBERNETES ;;
    *) fail "unknown program '$1': one of $ALL $STORES" ;;
  esac
}

# The official release of a program: its url and, for an archive, the member that is the program.
release() { # NAME
  case $1 in
    etcd) echo "https://github.com/etcd-io/etcd/releases/download/v$ETCD/etcd-v$ETCD-linux-amd64.tar.gz etcd-v$ETCD-linux-amd64/etcd" ;;
    coredns) echo "https://github.com/coredns/coredns/releases/download/v$COREDNS/coredns_${COREDNS}_linux_amd64.tgz coredns" ;;
    helm) echo "https://get.helm.sh/helm-v$HELM-linux-amd64.tar.gz linux-amd64/helm" ;;
    versitygw) echo "https://github.com/versity/versitygw/releases/download/v$VERSITYGW/versitygw_v${VERSITYGW}_Linux_x86_64.tar.gz versitygw_v${VERSITYGW}_Linux_x86_64/versitygw" ;;
    rclone | ministack) ;; # made here only
    *) echo "https://dl.k8s.io/release/v$KUBERNETES/bin/linux/amd64/$1" ;;
  esac
}

pinned_sum() { # URL
  awk -v url="$1" '$2 == url { print $1 }' "$sums"
}

# Plain http is for the self-test's server on loopback only.
download() { # URL FILE
  case $1 in
    https://*) curl --proto '=https' --proto-redir '=https' --tlsv1.2 -fsSL --retry 2 --connect-timeout 20 -o "$2" "$1" ;;
    http://127.0.0.1:*) curl -fsS --noproxy '*' -o "$2" "$1" ;;
    *) say "neither https nor loopback: $1"; return 1 ;;
  esac
}

fetch() { # URL FILE
  local want got part=$2.part.$$
  want=$(pinned_sum "$1")
  [ -n "$want" ] || return 3
  mkdir -p "$(dirname "$2")"
  say "downloading $1"
  download "$1" "$part" || { rm -f "$part"; return 1; }
  got=$(sha256sum < "$part" | cut -d' ' -f1)
  if [ "$got" != "$want" ]; then
    rm -f "$part"
    say "refused $1: sha256 is $got, pinned is $want"
    return 4
  fi
  mv "$part" "$2"
}

# From the official release into FILE; fails quietly when there is no pin or no way there.
unpack_release() { # NAME FILE
  local url member archive=$2.archive
  [ "$(uname -m)" = x86_64 ] || return 1
  read -r url member <<< "$(release "$1")"
  fetch "$url" "$archive" || return 1
  if [ -z "$member" ]; then mv "$archive" "$2"; return; fi
  tar -xzOf "$archive" "$member" > "$2" && rm "$archive"
}

module() { # NAME: folder below modules/, package, linker flags
  local stamp=k8s.io/component-base/version
  case $1 in
    etcd) echo "etcd go.etcd.io/etcd/server/v3" ;;
    coredns) echo "coredns github.com/coredns/coredns" ;;
    helm) echo "helm helm.sh/helm/v4/cmd/helm -X helm.sh/helm/v4/internal/version.version=v$HELM" ;;
    rclone) echo "rclone github.com/rclone/rclone -X github.com/rclone/rclone/fs.Version=v$RCLONE" ;;
    versitygw) echo "versitygw github.com/versity/versitygw/cmd/versitygw -X main.Version=v$VERSITYGW" ;;
    *) echo "kubernetes k8s.io/kubernetes/cmd/$1 -X $stamp.gitVersion=v$KUBERNETES -X $stamp.gitMajor=${KUBERNETES%%.*} -X $stamp.gitMinor=$(echo $KUBERNETES | cut -d. -f2) -X $stamp.gitTreeState=clean" ;;
  esac
}

build() { # NAME FILE
  local folder package flags
  "$here/setup.sh" go
  export PATH="$HOME/.cache/rollcall/go/bin:$PATH:/usr/local/go/bin"
  read -r folder package flags <<< "$(module "$1")"
  say "building $1 $(version "$1") from its Go module (minutes, once)"
  (cd "$here/modules/$folder" && CGO_ENABLED=0 GOFLAGS='' nice -n 5 \
    go build -trimpath -buildvcs=false -mod=readonly -ldflags "-s -w $flags" -o "$2" "$package")
}

# A Python program in a folder of its own beside FILE, and FILE a link into it.
install_python() { # NAME FILE
  local folder
  folder=$cache/$1-$(version "$1").python
  say "installing $1 $(version "$1")"
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/pip" -q install "$1==$(version "$1")"
  ln -s "$folder/bin/$1" "$2"
}

# Builds share one lock: two at a time would take twice the memory and no less time.
make_one() { # NAME FILE
  mkdir -p "$cache"
  (
    flock 9
    [ ! -x "$2" ] || exit 0
    temporary=$(mktemp -d "$cache/.$1.XXXXXX")
    trap 'rm -rf "$temporary"' EXIT
    case $1 in
      ministack) install_python "$1" "$temporary/$1" ;;
      *) unpack_release "$1" "$temporary/$1" || build "$1" "$temporary/$1" ;;
    esac
    chmod 755 "$temporary/$1"
    mv "$temporary/$1" "$2"
  ) 9> "$cache/.lock"
}

path() { # NAME
  local given=${ROLLCALL_BINARIES:-} cached
  cached=$cache/$1-$(version "$1")
  if [ -n "$given" ] && [ -x "$given/$1" ]; then
    (cd "$given" && echo "$PWD/$1")
    return
  fi
  [ -x "$cached" ] || make_one "$1" "$cached" >&2
  echo "$cached"
}

link() { # FOLDER NAME…
  local folder=$1 name target
  shift
  mkdir -p "$folder"
  for name; do
    target=$(path "$name")
    ln -sfn "$target" "$folder/$name"
  done
}

make_all() { # SET
  local name target
  for name in $(names "$1"); do
    target=$(path "$name")
    echo "$name $target"
  done
}

# The sums are those of what arrives over TLS; compare them with the publishers' own before committing.
pin() {
  local name url folder
  folder=$(mktemp -d)
  sed '/^[^#]/d' "$sums" > "$folder/sums"
  for name in $ALL go; do
    url=$(release "$name" | cut -d' ' -f1)
    [ "$name" != go ] || url=https://go.dev/dl/go$(sed -n 's/^GO_VERSION=//p' "$here/setup.sh").linux-amd64.tar.gz
    say "pinning $url"
    download "$url" "$folder/file" || fail "cannot download $url; release.sums is unchanged"
    echo "$(sha256sum < "$folder/file" | cut -d' ' -f1)  $url" >> "$folder/sums"
  done
  mv "$folder/sums" "$sums"
  rm -r "$folder"
}

command=${1:-help}
shift || true
case $command in
  path) path "${1:?name of a program}" ;;
  link) link "$@" ;;
  list) names "${1:-all}" ;;
  make) make_all "${1:-all}" ;;
  fetch) fetch "${1:?url}" "${2:?file}" ;;
  pin) pin ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; [ "$command" = help ] ;;
esac
