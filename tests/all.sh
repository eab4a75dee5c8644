#!/usr/bin/env bash
# Every test, from the pure ones to the real cluster, with everything they need; `make test` calls it.
# It must never leave a test out in silence: what cannot run here fails, or is said at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
  echo "Not Linux or not root: only the tests that need no Kubernetes run. For the rest name a cluster: see CONTRIBUTING.md."
  exec cargo test --locked --all-features
fi

# The programs of the test cluster and the stores of the tests are built by Go beside our own build by Rust: the linkers of both are seldom at work at once.
tests/cluster/binaries.sh make tests &
binaries=$!
trap 'kill "$binaries" 2>/dev/null || true' EXIT
cargo test --locked --all-features --no-run
wait "$binaries"
trap - EXIT

# Inside the cluster's namespaces nothing reaches the outside, so everything was compiled before.
tests/cluster/cluster run --name "test-$$" --api-only -- env ROLLCALL_REQUIRE_ALL=1 CARGO_NET_OFFLINE=true cargo test --locked --all-features
tests/cluster/self-test
tests/e2e/run.sh
# With the program that the tests were run with: another set of features would compile most packages once more.
ROLLCALL=${CARGO_TARGET_DIR:-$PWD/target}/debug/rollcall tests/builds/run.sh --cheap
