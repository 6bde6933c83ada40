# One door to building, testing and trying out. `make help` lists it.
# Recipes run in sh with the environment of .ci/env.sh: compiled dependencies live outside the clone.

.DEFAULT_GOAL := help
ENV := . .ci/env.sh &&

.PHONY: help setup build test lint fmt demo bench sim chaos soak mutants planted-build proxies image-test tls-scan fuzz fuzz-corpus autobahn

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## install missing system packages (says which)
	@.ci/setup.sh

build: setup ## release build; prints where the program is
	@$(ENV) cargo build --release --locked --bin vedfolnir && echo "built $$CARGO_TARGET_DIR/release/vedfolnir"

test: setup ## everything: format, clippy, deny, Rust tests, end-to-end tests
	@.ci/test.sh

lint: setup ## format and clippy only
	@$(ENV) cargo fmt --all --check && cargo clippy --workspace --all-targets --locked -- -D warnings \
		&& cargo clippy --locked --features planted-bugs --lib --bins -- -D warnings

fmt: ## format the code
	@cargo fmt --all

demo: build ## start three nodes, kill one, and see that nothing is lost
	@$(ENV) tests/run.sh --install && VEDFOLNIR_BIN="$$CARGO_TARGET_DIR/release/vedfolnir" node tests/demo.mjs

bench: setup ## load generator; options: make bench ARGS="--help"
	@$(ENV) cargo run --release --locked -p vedfolnir-bench -- $(ARGS)

SEEDS = 100
START = 1
SECONDS = 25
BUG =
sim: ## seeded simulation of the replicated core: make sim SEEDS=1000 [START=1] [SECONDS=25] [BUG=skip-fsync]
	@ROCKSDB_LIB_DIR=not-needed && $(ENV) cargo run --quiet --locked -p vedfolnir-sim --bin simulate -- \
		--start $(START) --seeds $(SEEDS) --seconds $(SECONDS) $(if $(BUG),--bug $(BUG)) $(ARGS)

proxies: setup ## nodes that die and drain behind every configuration of deploy/nginx and deploy/haproxy, under load: minutes
	@$(ENV) tests/run.sh --long balancers

image-test: setup ## builds deploy/docker's image with buildah on Debian packages and runs it; skipped, loudly, without buildah and mmdebstrap
	@$(ENV) tests/run.sh --long image

chaos: build ## every scenario of `vedfolnir chaos`, a minute of each: make chaos [ARGS="--seed 7"]
	@$(ENV) "$$CARGO_TARGET_DIR/release/vedfolnir" chaos run all --duration 60s --keep-going $(ARGS)

HOURS = 1
soak: build ## all scenarios again and again, each time with another seed: make soak HOURS=8 [ARGS="--seed 100"]
	@$(ENV) "$$CARGO_TARGET_DIR/release/vedfolnir" chaos soak --duration $(HOURS)h $(ARGS)

mutants: setup ## every planted bug must be caught: make mutants [BUGS="two-writers"] [SEEDS=3]
	@BUGS="$(BUGS)" chaos/mutants.sh

planted-build: setup ## the program with planted bugs, for chaos tests (docs/planted-bugs.md); prints where it is
	@chaos/planted.sh

tls-scan: setup ## sslscan, SSLyze and testssl.sh against a real node: make tls-scan [ARGS=--fast]
	@$(ENV) tests/tls-scan.sh $(ARGS)

TARGET =
RUNS = 1000000
REPLAY =
fuzz: setup ## coverage-guided fuzzing of every decoder: make fuzz [TARGET=payload] [RUNS=1000000] [REPLAY=FILE]
	@TARGET="$(TARGET)" RUNS="$(RUNS)" REPLAY="$(REPLAY)" fuzz/run.sh

fuzz-corpus: setup ## the same for a moment, then the smallest inputs that reach everything go into fuzz/corpus
	@TARGET="$(TARGET)" RUNS=1000 CORPUS=keep fuzz/run.sh

autobahn: setup ## Autobahn's WebSocket cases against a real node; skipped, loudly, without a Python 2.7
	@tests/autobahn.sh $(ARGS) || { status=$$?; [ $$status -eq 77 ] || exit $$status; }
