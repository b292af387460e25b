# Rowmill. `make` shows the targets.
.DEFAULT_GOAL := help
PY := .venv/bin/python
STAMP := .venv/.stamp
DEV_STAMP := .venv/.stamp-dev
PIP := $(PY) -m pip --disable-pip-version-check -q

.PHONY: help setup setup-dev demo up test test-fast test-slow check format lock clean nemesis

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
