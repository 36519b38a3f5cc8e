# Every target sets up .venv first, if pyproject.toml, constraints.txt or C sources changed.
# ARGS is passed on: make test ARGS="tests/rpc -x"

# The first Python that is new enough and can make an environment.
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$python && break; done)
ARGS ?=

# What `make test-all` looks for.
VERSIONS := 3.11 3.12 3.13

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-pure test-all test-orders test-hosts web test-web site bench bench-count lint format soak fuzz clean

help: ## list the targets
	@awk -F ': .*## ' '/^[a-z-]+: .*## / { printf "%-11s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

setup: $(READY) ## make the environment in .venv

demo: $(READY) ## run the example file service
	$(BIN)/python -m examples.files $(ARGS)

# A process for each core; one that has nothing left to do takes tests from another.
# `make test ARGS="-n0 -s"` is one process that shows what is printed.
# The tests of I/O run on each poller; `PINFUT_POLLER=portable make test` runs all on that one.
# What is compiled is kept in the environment, also where PYTHONDONTWRITEBYTECODE is set: the workers
# and the many processes of tests would each compile pinfut and the tests anew.
PYTEST := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/$(VENV)/compiled \
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

test: $(READY) ## run the tests
	$(PYTEST) $(ARGS)

test-pure: $(READY) ## run the tests of futures, executor and calls without the core in C
	PINFUT_PURE=1 $(PYTEST) tests/core tests/pinfut tests/executor tests/rpc $(ARGS)

# Each Python in an environment of its own. An installed one is on the PATH or known to pyenv,
# whose python3.12 is there but does nothing until it is told which.
test-all: ## run the tests on each supported Python that is installed, and say which is not
	@ran=; failed=; skipped=; for version in $(VERSIONS); do \
		python=$$(PYENV_VERSION=$$(pyenv latest $$version 2>/dev/null) python$$version -c \
			'import sys, venv, ensurepip; print(sys.executable)' 2>/dev/null) \
		|| { skipped="$$skipped $$version"; continue; }; \
		echo "== Python $$version: $$python"; \
		$(MAKE) --no-print-directory test PYTHON=$$python VENV=.venv-$$version \
		&& ran="$$ran $$version" || failed="$$failed $$version"; \
	done; \
	echo "passed:$${ran:- none}; failed:$${failed:- none}; not installed:$${skipped:- none}"; \
	test -n "$$ran" && test -z "$$failed"

test-orders: $(READY) ## run the tests in reversed and in three random orders
	@for order in reversed $$($(BIN)/python -c \
		'import random; print(*random.sample(range(10**6), 3))'); do \
		echo "== make test ARGS='--order $$order'"; \
		$(PYTEST) -q --order $$order $(ARGS) || exit 1; \
	done

# Other people's tests: CPython's of asyncio, plain and in checked mode, then uvloop's.
test-hosts: $(READY) ## run CPython's and uvloop's tests of event loops on pinfut's
	$(BIN)/python -m tests.hosts.cpython
	$(BIN)/python -m tests.hosts.cpython --checked
	$(BIN)/python -m tests.hosts.uvloop_suite

# Pyodide comes by npm, wheels for it by pip: once, into .venv/web.
web: $(READY) ## run tests in the Python of a browser (Pyodide, in node)
	$(BIN)/python -m tests.web $(ARGS)

# Playwright comes by pip, the browser from the system. Where there is none, it is skipped.
test-web: $(READY) ## the explorer and the lessons in a browser
	@$(BIN)/python -c 'import playwright' 2>/dev/null || $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --constraint constraints.txt playwright || true
	$(BIN)/python -m pytest -n0 -rs tests/web/explorer.py tests/web/lessons.py $(ARGS)

# MkDocs is fetched once, and so are the lessons' Pyodide; building needs no network then.
site: $(READY) ## build the site in site/: the pages, a reference, the lessons
	@$(BIN)/python -c 'import mkdocs, mkdocstrings' 2>/dev/null || $(BIN)/python -m pip install \
		--quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[site]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(READY) ## compare with asyncio, uvloop and trio
	$(BIN)/python -m benches $(ARGS)

bench-count: $(READY) ## count instructions per operation, beside the stored ones
	$(BIN)/python -m benches.count $(ARGS)

PROSE := README.md CONTRIBUTING.md CHANGELOG.md benches/README.md docs/*.md

lint: $(READY) ## ruff, mypy, basedpyright, and the prose
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/codespell $(PROSE) pinfut executor rpc benches examples tests
	$(BIN)/proselint --config .proselintrc.json check $(PROSE)

format: $(READY) ## let ruff format the code and sort the imports
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

soak: $(READY) ## run the property tests with many more examples, then fuzz
	PINFUT_SOAK=1 $(PYTEST) -o faulthandler_timeout=0 $(ARGS)
	@$(MAKE) --no-print-directory fuzz ARGS=
	$(BIN)/python -m tests.mutants

# Where atheris cannot be installed, fuzzing says so and goes by chance.
fuzz: $(READY) ## fuzz what reads a peer's bytes
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --constraint constraints.txt 'atheris>=3' || true
	$(BIN)/python -m tests.fuzz --runs 20000 --seconds 60 $(ARGS)

clean: ## remove the environment, builds and caches
	rm -rf .venv .venv-3.* build dist site *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew each time: what is installed depends on these files and nothing else.
# setuptools goes first, so that the build uses the pinned one and not the newest.
$(READY): pyproject.toml constraints.txt $(wildcard pinfut/native/*)
	@test -n "$(PYTHON)" || { echo "pinfut needs Python 3.11 or newer, with venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@
