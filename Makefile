# The commands of this repository; `make help` lists them. A target is here when it works, and does its own set-up.
# It must never leave a cluster behind that nobody asked to keep.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

MUSL := x86_64-unknown-linux-musl
MUSL_FOLDER := $(HOME)/.cache/rollcall/target-musl
IMAGE := rollcall.local/rollcall:dev
IMAGE_FILE := target/rollcall-image.tar
PROGRAM := $(MUSL_FOLDER)/$(MUSL)/release/rollcall
# What the Dockerfile copies.
CONTEXT := target/image
CERTIFICATES := /etc/ssl/certs/ca-certificates.crt
SCRIPTS := tests/cluster/cluster tests/cluster/init tests/cluster/self-test $(wildcard tests/cluster/*.sh tests/demo/*.sh tests/e2e/*.sh tests/bench/*.sh tests/load/*.sh tests/soak/*.sh tests/builds/*.sh)
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help
help: ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | sort | while IFS=$$'\t' read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: ## Install what a bare Debian or Ubuntu lacks (root); nothing when all is there
	@tests/cluster/setup.sh

.PHONY: binaries
binaries: setup ## Find, download or build the programs of the test cluster and of the tests (15 minutes when built, once)
	@tests/cluster/binaries.sh make tests

.PHONY: cluster-up
cluster-up: setup ## Start a one-node Kubernetes of its own (7 s); prints how to enter it
	@tests/cluster/cluster up

.PHONY: cluster-down
cluster-down: ## End it; nothing is left
	@tests/cluster/cluster down

.PHONY: image
image: setup ## Build the static program, its image (target/rollcall-image.tar) and the list of what is in it (.cdx.json)
	@CARGO_TARGET_DIR="$(MUSL_FOLDER)" tests/cluster/static.sh --bin rollcall
	@mkdir -p $(CONTEXT)
	@cp "$(PROGRAM)" $(CERTIFICATES) $(CONTEXT)
	@tests/cluster/image.py $(IMAGE) $(IMAGE_FILE) $(CONTEXT)/rollcall=/rollcall --file $(CERTIFICATES)=/etc/ssl/certs/ca-certificates.crt
	@tests/cluster/sbom.py $(MUSL) $(IMAGE_FILE:.tar=.cdx.json) --image $(IMAGE_FILE) --program $(CONTEXT)/rollcall --certificates $(CERTIFICATES)
	@echo "$(IMAGE) in $(IMAGE_FILE), $$(tests/cluster/image.py --digest-of $(IMAGE_FILE)); what is in it: $(IMAGE_FILE:.tar=.cdx.json)"

.PHONY: reproducible
reproducible: setup ## Build the image twice from nothing, in different folders, and compare (10 minutes on two cores)
	@tests/cluster/reproducible.sh

.PHONY: generate
generate: setup ## Write what other parts of the repository determine: CRDs, reference pages, plain manifests
	@cargo run --locked --quiet --bin rollcall -- generate
	@deploy/render.sh

.PHONY: demo
demo: setup ## Four releases under load on a cluster of its own, then the naive order; KEEP=1 keeps the cluster
	@tests/demo/demo.sh

.PHONY: test-cluster
test-cluster: setup ## Releases on a real cluster while pods, agents and the controller end (2 minutes)
	@tests/e2e/run.sh

.PHONY: builds
builds: setup ## Two versions by each of thirty build tools and set-ups, published and crawled; TOOLS="vite next" for some (10 minutes, 1 when built)
	@tests/builds/run.sh $(TOOLS)

.PHONY: load
load: setup ## A million page loads in MINUTES (20) on a real cluster while a schedule from SEED (1) releases, kills, stops, slows and edits (40 minutes)
	@tests/load/run.sh

.PHONY: bench
bench: setup ## Latency of flips, also beside stores that never answer; memory and requests of an idle controller, many releases, many pods, on a real API server; the plan of a large sweep (45 minutes or more)
	@tests/bench/run.sh

.PHONY: soak
soak: setup ## Publishers in storms and killed (1,000 each), storms in the simulation, SEEDS of them (300) from FIRST_SEED (1000) on, TAKEOVERS (200: 17 minutes) of stopped leaders, MUTANTS (0/250: ten small changes of the code, which tests must notice)
	@ROLLCALL_UPLOAD_SEEDS=1000 cargo test --locked --all-features --test it upload::storms
	@ROLLCALL_KILLED_SEEDS=334 cargo test --locked --all-features --test it killed_at_any_moment
	@ROLLCALL_SEEDS="$${SEEDS:-300}" ROLLCALL_FIRST_SEED="$${FIRST_SEED:-1000}" cargo test --locked --all-features --test it simulation::storms::no_storm -- --nocapture
	@tests/cluster/cluster run --name "soak-$$$$" --api-only -- env ROLLCALL_REQUIRE_ALL=1 CARGO_NET_OFFLINE=true ROLLCALL_TAKEOVERS="$${TAKEOVERS:-200}" cargo test --locked --all-features --test it apiserver::leaders -- --nocapture
	@tests/cluster/cluster run --name "soak-$$$$" --api-only -- env ROLLCALL_REQUIRE_ALL=1 CARGO_NET_OFFLINE=true ROLLCALL_TAKEOVERS=12 ROLLCALL_LEASE_TIMES=15s,10s,2s cargo test --locked --all-features --test it apiserver::leaders -- --nocapture
	@tests/soak/mutants.sh "$${MUTANTS:-0/250}"

.PHONY: fuzz
fuzz: setup ## Spoil real files for the readers and the lint rules; FUZZ_RUNS=20000 for each (3 minutes)
	@ROLLCALL_FUZZ_RUNS=$${FUZZ_RUNS:-20000} cargo test --locked --all-features --test it -- fuzz::

.PHONY: lint
lint: setup ## Formatting, clippy, shell scripts, dependencies (the last two when their tools are installed)
	@cargo fmt --check
	@cargo clippy --locked --all-targets --all-features -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck -x -P SCRIPTDIR/../.. $(SCRIPTS); else echo "lint: no shellcheck, scripts not checked"; fi
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo "lint: no cargo-deny, dependencies not checked"; fi

.PHONY: test
test: setup ## Every test: unit, simulation, contracts, real API server, real cluster
	@tests/all.sh
