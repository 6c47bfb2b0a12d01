# Two commands matter: `make run` and `make test`. Each does its own set-up, on a fresh machine too.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
JS_SOURCES := $(shell find sdk_js/src sdk_js/build.mjs -type f 2>/dev/null)
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --upgrade
ARGS ?=

export PIP_NO_INPUT := 1
export npm_config_update_notifier := false
# Tests start hundreds of processes: compiling our modules anew in each costs minutes.
export PYTHONDONTWRITEBYTECODE :=
# A machine without a home directory has nowhere else to keep what npm and pip download.
ifeq ($(strip $(HOME)),)
export HOME := $(CURDIR)/.tools/home
endif

.PHONY: help run test test-long bench lint format lock js clean test-setup check-postgres

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.server sdk_js/dist/.built ## set up, then everything on this machine, with the demo shop
	@exec $(BIN)/chimein up $(ARGS)

test: test-setup lint ## set up, then every test (those of `test-long` excepted)
	$(BIN)/pytest -n 2 --dist loadfile -m "not long" tests/unit tests/contract tests/architecture
	# These start and kill real processes and browsers, and mostly wait: side by side they fit a small machine. What
	# fails for want of time on a busy one is asked again, and told.
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --reruns 2 --reruns-delay 2 --rerun-show-tracebacks -rR -m "not long" tests/integration tests/e2e

test-long: test-setup ## the tests that take minutes
	$(BIN)/pytest -m long --timeout 900 tests

bench: test-setup tests/bench/js/node_modules/.installed ## the benchmarks, as ratios to baselines of the same minute
	@$(BIN)/python -m tests.bench $(ARGS)

lint: $(VENV)/.dev ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## put the code into its form
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lock: $(VENV)/.python ## choose the newest versions that fit, and write them down with their hashes
	$(PIP) install uv
	# The smaller list follows the larger one, so that tests run on the versions that are shipped.
	$(COMPILE) --group dev -o requirements/dev.lock pyproject.toml
	$(COMPILE) -c requirements/dev.lock -o requirements/server.lock pyproject.toml
	$(COMPILE) -o requirements/build.lock requirements/build.in
	cd sdk_js && npm install --package-lock-only --no-audit --no-fund
	cd tests/bench/js && npm install --package-lock-only --no-audit --no-fund

js: sdk_js/dist/.built ## build the JavaScript SDK

clean: ## throw away what was set up; data in ./var stays
	rm -rf $(VENV) .tools sdk_js/node_modules tests/bench/js/node_modules sdk_js/dist *.egg-info sdk_python/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

test-setup: $(VENV)/.dev sdk_js/dist/.built check-postgres
	@.ci/setup-browser $(BIN)/python

check-postgres: $(VENV)/.dev
	@.ci/setup-postgres $(BIN)/python

$(VENV)/.python: .ci/setup-python
	@.ci/setup-python $(VENV)
	@touch $@

$(VENV)/.build: $(VENV)/.python requirements/build.lock
	@echo "Installing the locked Python packages (a minute, the first time) ..."
	@$(PIP) install --require-hashes -r requirements/build.lock
	@touch $@

$(VENV)/.server: $(VENV)/.build requirements/server.lock pyproject.toml sdk_python/pyproject.toml
	@$(PIP) install --require-hashes -r requirements/server.lock
	@$(PIP) install --no-deps --no-build-isolation -e . -e ./sdk_python
	@touch $@

$(VENV)/.dev: $(VENV)/.server requirements/dev.lock
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

sdk_js/node_modules/.installed: sdk_js/package.json sdk_js/package-lock.json
	@.ci/check-node
	@cd sdk_js && npm ci --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

tests/bench/js/node_modules/.installed: tests/bench/js/package.json tests/bench/js/package-lock.json
	@.ci/check-node
	@cd tests/bench/js && npm ci --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

sdk_js/dist/.built: sdk_js/node_modules/.installed $(JS_SOURCES)
	@cd sdk_js && npm run --silent build -- --quiet
	@touch $@
