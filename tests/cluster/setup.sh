#!/usr/bin/env bash
# Prepares a bare Debian or Ubuntu machine for Rollcall's own tests: packages, Rust, Go, the node's mount points.
# Says nothing and takes a fraction of a second when all is there.
# It must never start a service (containerd's package would), replace a tool that the machine already has, or run a
# download that was not checked.
# Node.js and npm are not here: only builds of other tools need them, and tests/builds/run.sh brings them.
#
#   setup.sh            everything but Go
#   setup.sh packages   Debian packages and the node's mount points
#   setup.sh rust       cargo, the toolchain of rust-toolchain.toml and its static target
#   setup.sh go         Go; only a build of the cluster's binaries needs it (binaries.sh asks for it)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$HOME/.cache/rollcall/go/bin:$PATH:/usr/local/go/bin:/usr/local/sbin:/usr/sbin:/sbin"
GO_VERSION=1.26.8
MUSL=x86_64-unknown-linux-musl

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# What must be there, and the package that brings it. A command and not a package is looked for, because another package
# may bring it too (Docker's containerd.io brings containerd and clashes with Debian's).
needs() {
  cat <<'K'
containerd containerd
runc runc
nft nftables
ip iproute2
openssl openssl
ps procps
musl-gcc musl-tools
gcc build-essential
make build-essential
curl curl
zstd zstd
unzip unzip
python3 python3
git git
jq jq
socat socat
flock util-linux
setpriv util-linux
/usr/lib/cni/bridge containernetworking-plugins
/etc/ssl/certs/ca-certificates.crt ca-certificates
K
}

missing_packages() {
  local what package
  {
    while read -r what package; do
      case $what in
        /*) [ -e "$what" ] || echo "$package" ;;
        *) have "$what" || echo "$package" ;;
      esac
    done < <(needs)
    # Debian's python3 comes without what makes an environment: a store of the tests is a Python program.
    python3 -c 'import ensurepip, venv' 2> /dev/null || echo python3-venv
  } | sort -u
}

# A service that apt starts would run beside the clusters for ever: policy-rc.d (invoke-rc.d's own switch) forbids it, for
# as long as the installation lasts.
install_quietly() {
  local policy=/usr/sbin/policy-rc.d ours=
  if [ ! -e $policy ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod +x $policy
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 130' INT TERM
  fi
  local log
  log=$(mktemp)
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
  rm -f "$log"
  # Nor may it start at the next boot, when it was us who brought it.
  case " $* " in *" containerd "*) ! have systemctl || systemctl disable containerd >/dev/null 2>&1 || true ;; esac
  if [ -n "$ours" ]; then rm -f $policy; trap - EXIT INT TERM; fi
}

packages() {
  local list
  mapfile -t list < <(missing_packages)
  if [ ${#list[@]} -gt 0 ]; then
    have apt-get || fail "missing: ${list[*]}. Only Debian and Ubuntu are prepared automatically; install them by hand"
    [ "$(id -u)" = 0 ] || fail "missing: ${list[*]}. Run as root, or: apt-get install ${list[*]}"
    say "installing ${list[*]}"
    apt-get update -qq >&2
    install_quietly "${list[@]}"
  fi
  mount_points
}

# Paths that kubelet, containerd and CNI insist on. Each cluster covers them with a tmpfs of its own mount namespace, so
# on the machine they stay empty.
mount_points() {
  if [ "$(id -u)" != 0 ] || [ "$(uname -s)" != Linux ]; then return 0; fi
  mkdir -p /run/containerd /run/netns /var/lib/cni /var/lib/kubelet /var/log/containers
}

install_rustup() {
  if have apt-cache && apt-cache policy rustup | grep -q 'Candidate: [0-9]'; then
    say "installing rustup from its package"
    install_quietly rustup
  else
    say "installing rustup with its official installer (TLS)"
    curl --proto '=https' --tlsv1.2 -fsSL https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none --no-modify-path >&2 \
      || fail "no rustup, and its installer is out of reach: install it by hand (https://rustup.rs)"
  fi
}

rust() {
  if have cargo && ! have rustup; then
    say "cargo is not rustup's: its toolchain is used as it is, and the static target $MUSL must be there for make image"
    return
  fi
  have rustup || install_rustup
  cd "$here/../.."
  [ -f rust-toolchain.toml ] || return 0
  local channel root
  channel=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)
  rustup run "$channel" rustc --version >/dev/null 2>&1 \
    || rustup toolchain install "$channel" --profile minimal --component clippy,rustfmt >&2
  root=$(rustup run "$channel" rustc --print sysroot)
  [ -d "$root/lib/rustlib/$MUSL" ] || rustup target add --toolchain "$channel" "$MUSL" >&2
}

go_is_new_enough() {
  local version
  version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
  [ "$(printf 'go%s\n' "${GO_VERSION%.*}" "${version#go}" | sort -V | head -1)" = "go${GO_VERSION%.*}" ]
}

release_of_go() {
  local archive=$HOME/.cache/rollcall/go.tar.gz
  "$here/binaries.sh" fetch "https://go.dev/dl/go$GO_VERSION.linux-amd64.tar.gz" "$archive" || return 1
  rm -rf "$HOME/.cache/rollcall/go"
  tar -xzf "$archive" -C "$HOME/.cache/rollcall" && rm "$archive"
}

# Go's releases are modules too, so any Go can fetch the one that is wanted, checked against Go's checksum database. They come
# without execute bits, as all modules do.
go_by_go() {
  local folder
  say "fetching Go $GO_VERSION as a module"
  folder=$(cd / && GOTOOLCHAIN=local GOFLAGS='' go mod download -json "golang.org/toolchain@v0.0.1-go$GO_VERSION.linux-amd64" | jq -er .Dir) || return 1
  find "$folder/bin" "$folder/pkg/tool" -type f -exec chmod +x {} +
  mkdir -p "$HOME/.cache/rollcall"
  ln -sfn "$folder" "$HOME/.cache/rollcall/go"
}

go_tool() {
  go_is_new_enough && return 0
  release_of_go && return 0
  have go || { have apt-get && [ "$(id -u)" = 0 ] && say "installing Debian's Go" && install_quietly golang-go && hash -r; } || true
  if have go && go_by_go && go_is_new_enough; then return 0; fi
  fail "no Go ${GO_VERSION%.*} or later and no way to it: install Go, or name a folder with the binaries in ROLLCALL_BINARIES"
}

case ${1:-all} in
  # Most tests need few of the packages, some machines cannot have them: who needs one asks for `packages` and fails then.
  all) (packages) || say "going on without"; rust ;;
  packages) packages ;;
  rust) rust ;;
  go) go_tool ;;
  *) fail "unknown part '$1': packages, rust, go or nothing" ;;
esac
