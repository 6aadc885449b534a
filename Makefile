# Two commands do everything on a machine with Python 3.11 or newer:
#   make demo   the environment, a made-up table of a million trips, a trained and evaluated model
#   make test   the environment with the tools of development, and all tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-all check browser servers clock lock clean

demo: $(VENV)/.runtime
	rm -rf $(DEMO) && mkdir -p $(DEMO)
	$(BIN)/cengine sample trips $(DEMO)/trips.csv --rows 1000000
	$(BIN)/cengine --project $(DEMO) datasource create csv --name trips --path $(DEMO)/trips.csv
	$(BIN)/cengine --project $(DEMO) pipeline push examples/trips.yaml birth_year
	$(BIN)/cengine --project $(DEMO) pipeline run birth_year --yes
	$(BIN)/cengine --project $(DEMO) pipeline evaluate birth_year --rows 5 --no-open

test: check browser servers clock
	$(BIN)/python -m pytest

# Also what takes minutes each: runs killed at many moments, full disks, moved clocks.
test-all: check browser servers clock
	$(BIN)/python -m pytest -m ""

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The tests of the page open it in Chromium: installed where we may, else those tests are skipped and say why.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends chromium >/dev/null; } \
		|| echo "chromium is not here and cannot be installed; the tests of the page will be skipped"

# The tests of the shared store start a PostgreSQL: installed where we may, else those tests are skipped and say why.
servers:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends postgresql >/dev/null; } \
		|| echo "PostgreSQL is not here and cannot be installed; the tests that need it will be skipped"

# The tests that move a clock need a library that shows it to their processes alone.
clock:
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends libfaketime >/dev/null; } \
		|| echo "libfaketime is not here and cannot be installed; the tests that move a clock will be skipped"

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cengine needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.runtime: $(VENV)/.python requirements/runtime.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/runtime.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.development: $(VENV)/.runtime requirements/development.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/development.lock
	touch $@

# Newer versions of everything, with hashes; no address of an index gets into the files.
lock: $(VENV)/.python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group build -c requirements/constraints.txt pyproject.toml -o requirements/runtime.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group build --group dev -c requirements/runtime.lock -c requirements/constraints.txt pyproject.toml -o requirements/development.lock

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
