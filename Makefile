# `make demo` and `make test` need Python 3.11+ and make, nothing else: all else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
QUIETLY := --quiet --disable-pip-version-check --no-warn-script-location

.DEFAULT_GOAL := help
.PHONY: help demo test check audit sbom format bench fuzz lock clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

$(READY): requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: set PYTHON=")'
	@# A Python without ensurepip (Debian's) makes a venv without pip; its own pip then installs into it.
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --without-pip --clear $(VENV)
	@pip="$(BIN)/python -m pip"; $$pip --version >/dev/null 2>&1 || pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	set -ex; \
	$$pip install $(QUIETLY) --require-hashes -r requirements-dev.lock; \
	$$pip install $(QUIETLY) --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## run everything on this machine: sandbox upstream, Redis, proxy, storefront
	@$(BIN)/bff demo $(ARGS)

test: $(READY) ## run every test
	@$(BIN)/python -m pytest $(ARGS)

check: $(READY) ## lint, format, types, import contracts, tests with branch coverage, audit
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)
	$(BIN)/python -m deploy.audit --offline-ok

audit: $(READY) ## ask for known advisories of everything locked
	@$(BIN)/python -m deploy.audit $(ARGS)

sbom: $(READY) ## write the bill of materials of what runs
	@$(BIN)/python -m deploy.sbom

format: $(READY) ## rewrite the code in its one format
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(READY) ## measure the hot path, in ratios
	@$(BIN)/python -m tests.bench $(ARGS)

fuzz: $(READY) ## look for what nobody foresaw, for SECONDS=3600 in all
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),3600) $(ARGS)

mutate: $(READY) ## put known faults into copies of the code and report which ones the tests notice
	@$(BIN)/python -m tests.mutation $(ARGS)

lock: $(READY) ## resolve the dependencies anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --extra embedded pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --extra embedded --group dev -c requirements.lock pyproject.toml deploy/build.in -o requirements-dev.lock
	$(BIN)/python -m deploy.sbom

clean: ## remove what the commands made
	rm -rf $(VENV) .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
