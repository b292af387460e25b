# Rowmill. `make` shows the targets.
.DEFAULT_GOAL := help
PY := .venv/bin/python
STAMP := .venv/.stamp
DEV_STAMP := .venv/.stamp-dev
PIP := $(PY) -m pip --disable-pip-version-check -q

.PHONY: help setup setup-dev demo up test test-fast test-postgres test-slow test-crash test-browser system check format lock clean fuzz zoo nemesis

help:  ## Show this list
	@echo "Rowmill: a table in, a result for every row out."
	@echo
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-22s %s\n", $$1, $$2}'
	@echo
	@echo "Start with 'make demo'. Benchmarks take ROWS= or MB=."

$(STAMP): requirements.lock pyproject.toml
	@echo "==> Making .venv and installing what Rowmill needs (a minute or two the first time)"
	@test -x $(PY) || python3 -m venv .venv
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e . 2>/dev/null || $(PIP) install --no-deps -e .
	@touch $@

$(DEV_STAMP): requirements-dev.lock $(STAMP)
	@echo "==> Installing the tools for tests and checks"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(STAMP)  ## Make .venv with .venv/bin/rowmill in it

setup-dev: $(DEV_STAMP)  ## The same with the tools for tests and checks

demo: $(STAMP)  ## Install, run the main job on made-up claims, and stay up (EXIT=1 stops at the end; ROWS=200, PORT=8000)
	@.venv/bin/rowmill demo --rows $(or $(ROWS),200) $(if $(PORT),--port $(PORT)) $(if $(EXIT),--exit)

up: $(STAMP)  ## Run Rowmill on ./rowmill-data (PORT=8000)
	@.venv/bin/rowmill up $(if $(PORT),--port $(PORT))

test: $(DEV_STAMP) system  ## All tests: the fast ones first, then real processes and the browser
	@echo "==> Tests, in five parts. One alone: make test-fast, make test-postgres, make test-slow, make test-crash, make test-browser"
	@$(MAKE) --no-print-directory test-fast test-postgres test-slow test-crash test-browser

test-fast: $(DEV_STAMP)  ## The fast tests
	@echo "==> The fast tests"
	@.venv/bin/python -m pytest -q -n 2 -m "not slow and not browser and not crash"

# What runs on Postgres as well: all that touches the database in a way of its own.
ON_POSTGRES := tests/postgres tests/monitor tests/jobs tests/merging tests/contacts tests/tables tests/uploads tests/claims tests/cohorts tests/api tests/web \
  tests/test_isolation.py tests/test_phi.py tests/test_admin.py tests/test_audit.py tests/test_orgs.py tests/crash/test_races.py

test-postgres: $(DEV_STAMP) system  ## What touches the database, on a private Postgres
	@echo "==> The tests on Postgres"
	@ROWMILL_TEST_DATABASE=postgres .venv/bin/python -m pytest -q -n 2 -m "not browser and not slow and not crash" $(ON_POSTGRES)

test-slow: $(DEV_STAMP)  ## Long files, the crawl of every address, fuzzing
	@echo "==> The slow tests"
	@.venv/bin/python -m pytest -q -n 2 -m "slow and not browser and not crash"

test-crash: $(DEV_STAMP)  ## Real processes, kill -9 at every point
	@echo "==> The crash tests (four at a time: most of them wait)"
	@.venv/bin/python -m pytest -q -n 4 --dist loadfile -m "crash and not browser"

test-browser: $(DEV_STAMP) system  ## The pages in Chromium
	@echo "==> The browser tests"
	@.venv/bin/python -m pytest -q -m browser

# A program that the tests need, and the Debian package that has it.
SYSTEM := chromium:chromium redis-server:redis-server /usr/lib/postgresql/*/bin/initdb:postgresql ip:iproute2 nginx:nginx-light

system:  # what the tests need from the operating system
	@missing=""; for pair in $(SYSTEM); do \
	  program=$${pair%%:*}; command -v $$program >/dev/null 2>&1 || ls $$program >/dev/null 2>&1 || missing="$$missing $${pair#*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "==> Installing for the tests:$$missing"; \
	  quiet=""; [ -e /usr/sbin/policy-rc.d ] || { quiet=/usr/sbin/policy-rc.d; printf '#!/bin/sh\nexit 101\n' > $$quiet; chmod +x $$quiet; }; \
	  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing fonts-liberation) \
	    >/dev/null || { echo "Could not install$$missing. Install it by hand, then run this again."; rm -f $$quiet; exit 1; }; \
	  rm -f $$quiet; \
	fi

check: $(DEV_STAMP)  ## Lint, format, types, layers, migrations: all that CI does besides the tests
	@echo "==> ruff";          .venv/bin/ruff check -q . && .venv/bin/ruff format -q --check .
	@echo "==> mypy";          ROWMILL_DATA_DIR=$$(mktemp -d) .venv/bin/mypy
	@echo "==> import-linter"; .venv/bin/lint-imports --no-logo 2>/dev/null || .venv/bin/lint-imports
	@echo "==> migrations";    ROWMILL_DATA_DIR=$$(mktemp -d) .venv/bin/python -m django makemigrations --check --dry-run --settings rowmill.settings
	@echo "==> what may not be committed"; .venv/bin/python tests/forbidden.py
	@echo "All checks passed. Next: make test"

format: $(DEV_STAMP)  ## Format and mend what can be mended
	@.venv/bin/ruff check -q --fix . ; .venv/bin/ruff format -q .

bench-%: $(DEV_STAMP)  ## A benchmark: bench-fast-path (MB=), bench-precheck (MB=), bench-checks (ROWS=), bench-ids (ROWS=), bench-engine (ROWS=), bench-fan-out, bench-flat, bench-claim, bench-limits, bench-workers, bench-start, bench-simulate, bench-upload (MB=), bench-tus (MB=), bench-contacts (ROWS=), bench-drop (MB=)
	@.venv/bin/python bench/$(subst -,_,$*).py $(if $(ROWS),--rows $(ROWS)) $(if $(MB),--mb $(MB)) $(if $(RUNS),--runs $(RUNS))

fuzz: $(DEV_STAMP)  ## Fuzz the reading of tables for SECONDS=60, led by coverage (installs Atheris into .venv the first time)
	@$(PY) -c "import atheris" 2>/dev/null || $(PIP) install "atheris>=3,<4"
	@mkdir -p build/fuzz
	@$(PY) -m tests.fuzz.fuzz_scan -max_total_time=$(or $(SECONDS),60) -max_len=4096 -print_final_stats=1 -artifact_prefix=build/fuzz/

zoo: $(DEV_STAMP)  ## Let out the whole zoo: every fault in every way, and EXAMPLES=10000 tables that nobody has seen before
	@ZOO_SCALE=all .venv/bin/python -m pytest -q -n 2 --timeout 3600 tests/zoo
	@.venv/bin/python -m tests.fuzz.any_table $(or $(EXAMPLES),10000)

nemesis: $(DEV_STAMP)  ## Kill and freeze at random for SECONDS=60, one process and then a cluster (CLUSTER=1: only that; SEED=)
	@$(if $(CLUSTER),,.venv/bin/python -m tests.crash.nemesis --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)))
	@.venv/bin/python -m tests.crash.cluster_nemesis --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

lock:  ## Make the lock files anew (needs uv)
	@uv pip compile -q pyproject.toml --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -o requirements.lock
	@uv pip compile -q pyproject.toml --extra cluster --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -o requirements-cluster.lock
	@uv pip compile -q pyproject.toml --extra cluster --group dev --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -o requirements-dev.lock

clean:  ## Remove .venv and caches, never data
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
