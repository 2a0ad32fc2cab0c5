# `make demo` and `make test` make their own environment; nothing else has to be installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One process a core, with one thread each: threads wait for each other at every small operator.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto
export TOKENIZERS_PARALLELISM = false

.PHONY: help demo test fast lint types golden golden-update profile docs peers bench clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("whit needs Python 3.11 or newer; set PYTHON=python3.x") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "setuptools>=77" wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

## make demo     the whole job on embedded models: 3 to 6 minutes on two cores
demo: $(STAMP)
	@$(BIN)/whit demo

## make test     lint, types and every test
test: $(STAMP) lint types
	$(PYTEST) --durations=10

## make fast     lint, types and the tests that take under a second each
fast: $(STAMP) lint types
	$(PYTEST) -m "not slow and not real" --exitfirst --failed-first

## make lint     ruff
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

## make types    mypy, strict
types: $(STAMP)
	$(BIN)/mypy

## make golden   compare recorded training curves; golden-update records them
golden: $(STAMP)
	$(BIN)/python -m pytest tests/golden

golden-update: $(STAMP)
	WHIT_GOLDEN_UPDATE=1 $(BIN)/python -m pytest tests/golden

## make profile  where a training step and a sampling step spend their time
profile: $(STAMP)
	$(BIN)/python bench/hotspots.py

## make peers    an environment for bench's peers: TRL, lm-eval, llama.cpp
peers: .peers/.installed

.peers/.installed: constraints.txt
	test -x .peers/bin/python || $(PYTHON) -m venv .peers
	.peers/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "setuptools>=77" wheel
	.peers/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[all]"
	.peers/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt trl "lm-eval[hf]"
	.peers/bin/python -m pip install --quiet --disable-pip-version-check --no-binary llama-cpp-python llama-cpp-python
	touch $@

## make bench    speed and memory against peers: a quiet machine, after make peers
bench: $(STAMP)
	WHIT_PEERS=$${WHIT_PEERS:-$$(test -x .peers/bin/python && echo .peers/bin/python)} $(BIN)/python bench/all.py
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/study.py
	$(BIN)/python bench/growth.py

## make docs     the catalogue of parts as docs/parts.md
docs: $(STAMP)
	$(BIN)/python docs/make_parts.py

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache
