# Every target sets up .venv first, if pyproject.toml or constraints.txt changed.
# ARGS is passed on: make test ARGS="tests/rpc -x"

# The first Python that is new enough and can make an environment.
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$python && break; done)
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test web bench lint format soak fuzz clean

help: ## list the targets
	@awk -F ': .*## ' '/^[a-z]+: .*## / { printf "%-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## make the environment in .venv

demo: $(READY) ## run the example file service
	$(BIN)/python -m examples.files $(ARGS)

# A process for each core, and each file in one of them: tests of a file count what they covered
# together. `make test ARGS="-n0 -s"` is one process that shows what is printed.
# The tests of I/O run on each poller; `PINFUT_POLLER=portable make test` runs all on that one.
test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile $(ARGS)

# Pyodide comes by npm, wheels for it by pip: once, into .venv/web.
web: $(READY) ## run tests in the Python of a browser (Pyodide, in node)
	$(BIN)/python -m tests.web $(ARGS)

bench: $(READY) ## compare with asyncio, uvloop and trio
	$(BIN)/python -m benches $(ARGS)

lint: $(READY) ## ruff, mypy, basedpyright
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python

format: $(READY) ## let ruff format the code and sort the imports
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

soak: $(READY) ## run the property tests with many more examples, then fuzz
	PINFUT_SOAK=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile \
		-o faulthandler_timeout=0 $(ARGS)
	@$(MAKE) --no-print-directory fuzz ARGS=

# Where atheris cannot be installed, fuzzing says so and goes by chance.
fuzz: $(READY) ## fuzz what reads a peer's bytes
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --constraint constraints.txt 'atheris>=3' || true
	$(BIN)/python -m tests.fuzz --runs 20000 --seconds 60 $(ARGS)

clean: ## remove the environment, builds and caches
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew each time: what is installed depends on the two files and nothing else.
# setuptools goes first, so that the build uses the pinned one and not the newest.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "pinfut needs Python 3.11 or newer, with venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@
