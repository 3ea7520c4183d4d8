# `make book` builds the website, `make check` is for every change, `make test` runs every test.
# Each sets everything up first.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 0
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && \
  { echo $$p; break; }; done)

JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
CONSTRAINTS ?= constraints.txt
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

unexport PYTHONDONTWRITEBYTECODE

.PHONY: help book pdf check lint test reproduce benchmark proofs setup clean

help:
	@echo 'make book       run every experiment at profile quick and build the website into _build/html'
	@echo 'make pdf        the same as one PDF, _build/book.pdf, printed by Chromium'
	@echo 'make check      format, lint, types and the unit tests, in two minutes'
	@echo 'make test       run every test'
	@echo 'make reproduce  run every experiment at profile paper and build the website'
	@echo 'make benchmark  measure times and replace the numbers of the page on them'
	@echo 'make proofs     let Coq check every proof, and print the axioms of each theorem'
	@echo 'make clean      remove _build (keeps .venv and the data)'

book: setup
	$(BIN)/lbrs build --profile quick --seed $(SEED)

pdf: book
	$(BIN)/python -m lbrs.website.pdf

reproduce: setup
	$(BIN)/lbrs build --profile paper --seed $(SEED)

check: lint
	OMP_NUM_THREADS=1 $(PYTEST) -m 'not slow and not site and not images'

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

test: setup
	$(BIN)/lbrs build
	OMP_NUM_THREADS=1 $(PYTEST)
	LBRS_RECORDS=$$(mktemp -d)/records $(BIN)/python -m lbrs.website.kernel $(PYTEST) \
	  --dist loadscope --nbval --nbval-current-env --nbval-cell-timeout 1800 \
	  --nbval-sanitize-with tests/nbval.cfg _build/source

benchmark: setup
	mkdir -p _build
	$(BIN)/python -m pytest benchmarks --benchmark-json _build/benchmarks.json
	$(BIN)/python -m lbrs.pages.timings _build/benchmarks.json book/benchmarks.json

proofs: setup
	$(BIN)/python coq/prove.py

setup: $(VENV)/installed

# An environment runs the code of the place that it was made for: elsewhere it is made anew.
ifneq ($(shell cat $(VENV)/installed 2>/dev/null),$(CURDIR))
  .PHONY: $(VENV)/installed
  CLEAR := $(if $(wildcard $(VENV)/installed),--clear)
endif

$(VENV)/installed: pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { \
	  echo 'Python 3.11 or newer is needed; name it with make PYTHON=...' >&2; exit 1; }
	@if ! '$(PYTHON)' -c 'import ensurepip' 2>/dev/null && [ "$$(id -u)" = 0 ] && \
	  command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq python3-venv; fi
	@if [ -n '$(CLEAR)' ] && [ -L '$(VENV)' ]; then rm '$(VENV)'; fi
	@'$(PYTHON)' -m venv $(CLEAR) '$(VENV)' || { \
	  echo 'No virtual environment could be made. On Debian: apt install python3-venv' >&2; exit 1; }
	$(BIN)/python -m pip install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) \
	  --editable '.[dev]'
	@pwd -P > $@

clean:
	rm -rf _build
