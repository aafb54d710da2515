# `make up` builds and runs everything; `make test` passes the tests. Both get by themselves what they need.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.PHONY: up build test slow chaos kafka bench lint setup help

export HANGANG_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hangang
# Outside the checkout, so that a second clone builds no dependency again.
export CARGO_TARGET_DIR ?= $(HANGANG_CACHE)/target
CARGO = source "$(HANGANG_CACHE)/build.env"; cargo

help:
	@echo "make up      build, then run the city: http://127.0.0.1:8080 (ARGS='--speed 60' for options)"
	echo "make test    all tests"
	echo "make slow    the second tier: a week of the archive, two months backtested, ten kills, a real Kafka"
	echo "make kafka   of these only the stages, each a process of its own, on a real Kafka"
	echo "make chaos   a loaded city killed 50 times (KILLS=N, SEED=N)"
	echo "make bench   speed and memory beside what is promised, half an hour (ARGS=import for a part)"
	echo "make build   only the binary, as bin/hangang"
	echo "make lint    format, lints, documentation"

setup:
	@ops/setup.sh

build: setup
	@ops/announce.sh
	$(CARGO) build --workspace --features "$$HANGANG_FEATURES"
	mkdir -p bin
	ln -f "$(CARGO_TARGET_DIR)/debug/hangang" bin/hangang 2>/dev/null || cp -f "$(CARGO_TARGET_DIR)/debug/hangang" bin/hangang

up: build
	@exec bin/hangang up $(ARGS)

test: setup
	@ops/tools.sh
	$(CARGO) test --workspace --features "$$HANGANG_FEATURES" --lib --bins --tests $(ARGS)

slow: setup
	@ops/tools.sh servers
	$(CARGO) test --workspace --features "$$HANGANG_FEATURES" --test hangang -- --ignored --nocapture --test-threads 1 $(ARGS)

kafka: setup
	@ops/tools.sh servers
	$(CARGO) test --workspace --features "$$HANGANG_FEATURES" --test hangang -- stages:: --ignored --nocapture $(ARGS)

chaos: export KILLS ?= 50
chaos: setup
	@ops/tools.sh
	$(CARGO) test --workspace --features "$$HANGANG_FEATURES" --test hangang -- chaos:: --ignored --nocapture $(ARGS)

bench: setup
	$(CARGO) bench --workspace --profile dev --features "$$HANGANG_FEATURES" --bench hangang -- $(ARGS)

lint: setup
	@$(CARGO) fmt --all --check
	# A closure's type reads best where it stands; and an answer of our API is large because it is whole.
	cargo clippy --workspace --all-targets --features "$$HANGANG_FEATURES" -- -D warnings \
		-A clippy::type_complexity -A clippy::result_large_err
	# A page may name what is private: it is read beside the code.
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --workspace --no-deps --features "$$HANGANG_FEATURES"
