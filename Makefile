# Two commands do everything on a machine with Python 3.11 or newer:
#   make demo   the environment, a made-up table of a million trips, a trained and evaluated model
#   make test   the environment with the tools of development, and all tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-heavy test-all check system lock clean

demo: $(VENV)/.runtime
	rm -rf $(DEMO) && mkdir -p $(DEMO)
	$(BIN)/cengine sample trips $(DEMO)/trips.csv --rows 1000000
	$(BIN)/cengine --project $(DEMO) datasource create csv --name trips --path $(DEMO)/trips.csv
	$(BIN)/cengine --project $(DEMO) pipeline push examples/trips.yaml birth_year
	$(BIN)/cengine --project $(DEMO) pipeline run birth_year --yes
	$(BIN)/cengine --project $(DEMO) pipeline evaluate birth_year --rows 5 --no-open

# CI says SELECT='': all of them, an hour.
SELECT := not heavy and not slow
test: check system
	$(BIN)/python -m pytest -m "$(SELECT)"

# The tests that take minutes: many kills, full disks, clusters; and the slow ones.
test-heavy: check system
	$(BIN)/python -m pytest -m "heavy or slow"

test-all: SELECT :=
test-all: test

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Servers and the browser that the tests start.
system:
	@requirements/system.sh

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cengine needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.runtime: $(VENV)/.python requirements/runtime.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/runtime.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# All extras are 250 packages: uv, since pip takes three times as long.
$(VENV)/.development: $(VENV)/.runtime requirements/development.lock
	$(BIN)/python -m pip install --quiet uv
	UV_COMPILE_BYTECODE=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/development.lock
	touch $@

# Newer versions of everything, with hashes; no address of an index gets into the files.
lock: $(VENV)/.python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group build -c requirements/constraints.txt pyproject.toml -o requirements/runtime.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --all-extras --group build --group dev -c requirements/runtime.lock -c requirements/constraints.txt pyproject.toml -o requirements/development.lock

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
