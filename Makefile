# What can be done with PyMR's source. `make help` lists it; every target sets up what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# rustup puts cargo here, and a shell that was open before does not know it.
export PATH := $(PATH):$(HOME)/.cargo/bin
# Cargo and maturin build for one Python, or each would undo the other's work.
export PYO3_PYTHON := $(CURDIR)/.venv/bin/python

# A company's certificates are in the system's store; uv has one of its own.
export UV_SYSTEM_CERTS := true

bin := .venv/bin
dist := dist
MINUTES := 10
BUILDER := docker
WORKER_FILE := examples/wordcount/worker.py
rust_sources := $(wildcard .cargo/* rust/Cargo.toml rust/build.rs rust/src/*.rs rust/src/*/*.rs)

.PHONY: help setup demo check test test-services e2e chaos docs proto mutants fuzz wheel images bench bench-quick clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

setup: .venv/built ## Build everything this folder needs, in .venv (quick the second time)

.venv/installed: requirements/uv.txt requirements/dev.txt
	@python=$$(requirements/toolchain.sh)
	"$$python" -m venv .venv
	$(bin)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	# An index that only pip is configured for is found by pip.
	$(bin)/uv pip install --quiet --compile-bytecode --python $(bin)/python --require-hashes -r requirements/dev.txt ||
	    $(bin)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	touch $@

.venv/built: .venv/installed pyproject.toml $(rust_sources)
	@requirements/toolchain.sh > /dev/null
	$(bin)/uv pip install --quiet --python $(bin)/python --no-deps --no-build-isolation --editable .
	touch $@
	echo 'ready: $(bin)/pymr --help'

demo: setup ## Count the words of Python's own standard library
	@stdlib=$$($(bin)/python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
	mapfile -t inputs < <(find "$$stdlib" -name '*.py' -type f -not -path '*-packages/*' \
	    -printf '--input=%p\n' | LC_ALL=C sort)
	echo "pymr start --input … ($${#inputs[@]} files of $$stdlib) examples/wordcount/worker.py"
	$(bin)/pymr start "$${inputs[@]}" --errors replace --overwrite --output pymr-out/demo \
	    examples/wordcount/worker.py
	echo
	echo 'the ten commonest words:   pymr cat pymr-out/demo | sort -k2,2nr | head'
	$(bin)/pymr cat pymr-out/demo | LC_ALL=C sort -t $$'\t' -k2,2nr -k1,1 | sed -n 1,10p

check: setup ## Static checks: ruff, mypy, imports, house rules, proto, cargo fmt and clippy
	@requirements/toolchain.sh check > /dev/null
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/pytest -q tests/unit/test_tidy.py
	$(bin)/python proto/generate.py --check
	cargo fmt --check --manifest-path rust/Cargo.toml
	cargo clippy --quiet --manifest-path rust/Cargo.toml --all-targets -- --deny warnings

test: setup ## All tests, of Rust and of Python
	@read -r version folder < <($(bin)/python -c \
	    'import sysconfig as s; print(s.get_config_var("LDVERSION"), s.get_config_var("LIBDIR"))')
	if echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - -L"$$folder" -lpython"$$version" 2> /dev/null; then
	    LD_LIBRARY_PATH="$$folder" cargo test --quiet --manifest-path rust/Cargo.toml
	else
	    echo "skipped: the tests of Rust, which link libpython   get it: sudo apt install libpython$$version-dev"
	    [ -z "$${CI:-}" ]
	fi
	# These two folders cover the core, the shuffle and the commit by themselves (pyproject.toml).
	$(bin)/pytest -n 2 -m 'not services and not e2e' tests/unit tests/property --cov
	tests/twice.sh $(bin)/pytest -n 2 -m 'not services and not e2e' --ignore=tests/unit --ignore=tests/property

test-services: setup ## The tests on real object stores: MinIO and Ceph
	@$(bin)/python tests/services.py run tests/twice.sh $(bin)/pytest -n 2 -m services

e2e: setup ## Runs in pods, on the cluster of the current kube context; CLUSTER=1 makes one (root)
	@if [ -n "$${CLUSTER:-}" ]; then eval "$$(tests/cluster/up)"; fi
	# Two at a time: most of the time they wait for pods. What is in one file shares a namespace.
	tests/twice.sh $(bin)/pytest -n 2 --dist loadfile -m e2e

chaos: setup ## Kill and resume runs for MINUTES=10, and compare bytes; SEED=… draws the same lots
	@$(bin)/python tests/chaos.py --minutes '$(MINUTES)' $${SEED:+--seed "$$SEED"}

docs: setup ## Make the pages anew that are made of the code and its tests
	@$(bin)/python tests/unit/test_states.py
	$(bin)/python tests/reliability.py

proto: setup ## Make the Python of proto/control.proto anew
	@$(bin)/python proto/generate.py

mutants: setup ## Break the code on purpose, line by line: the tests must notice (5 minutes)
	@$(bin)/python tests/mutants.py --rust

fuzz: setup ## Mutated runs, keys and values for MINUTES=10, with overflow checks
	@read -r folder < <($(bin)/python -c 'import sysconfig as s; print(s.get_config_var("LIBDIR"))')
	export LD_LIBRARY_PATH="$$folder" PYMR_FUZZ_MINUTES="$(MINUTES)" PYMR_FUZZ_SEED="$${SEED:-$$RANDOM}"
	cargo build --quiet --profile fuzz --features pyo3/extension-module --manifest-path rust/Cargo.toml
	cp rust/target/fuzz/lib_native.so rust/target/fuzz/_native.abi3.so
	cargo test --quiet --profile fuzz --no-run --manifest-path rust/Cargo.toml
	$(bin)/python tests/fuzz_codecs.py --minutes "$$PYMR_FUZZ_MINUTES" --seed "$$PYMR_FUZZ_SEED" \
	    --native rust/target/fuzz/_native.abi3.so &
	cargo test --quiet --profile fuzz --manifest-path rust/Cargo.toml fuzz -- --nocapture
	wait $$!

wheel: setup ## Build the wheel for every CPython from 3.11 on, in dist
	@env -u RUSTC_WRAPPER $(bin)/maturin build --release --out '$(dist)' # .cargo/ has a wrapper of its own

images: ## Build mr-master and mr-worker by hand, with BUILDER=docker and WORKER_FILE=…
	@$(BUILDER) build -f Dockerfile.master -t mr-master:latest .
	$(BUILDER) build -f Dockerfile.worker --build-arg WORKER_FILE='$(WORKER_FILE)' -t mr-worker:latest .

bench: setup ## All measures beside other tools, installed into .bench; takes an hour or more
	@$(bin)/python benchmarks/run.py --full

bench-quick: setup ## The measures that change first, on small inputs: two minutes
	@$(bin)/python benchmarks/run.py --no-peers word_count emit group_sum start_up instructions

clean: ## Remove what the other targets made
	@rm -rf .bench .venv dist rust/target pymr-out src/pymr/_native.*.so
