# Every command of the project. `make help` lists them; each does its own set-up and is quick the second time.
#   PYTHON      the Python to start from (default python3); if it has a working detectron2, that one is used
#   VENV        where the virtual environment is made (default .venv)
#   WORKERS     processes that share the tests (default auto: one for each core)
#   DETECTRON2  auto, source or redistribution: which detectron2 to install where none is

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= auto
DETECTRON2 ?= auto
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder
CODE := drfpn_da drfpn_da_cli.py tools tests benchmarks configs setup.py

.DEFAULT_GOAL := help
.PHONY: help install test test-slow coverage demo bench lint format type check docs api lock clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)  ## Virtual environment, pinned requirements, detectron2, this project

$(STAMP): requirements.txt setup.py tools/bootstrap.py
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 9) else "Python 3.9 or newer is needed: make install PYTHON=/path/to/python3")'
	$(PYTHON) tools/bootstrap.py --venv $(VENV) --detectron2 $(DETECTRON2)
	@touch $@

test: install  ## The tests, without those marked slow
	$(PYTEST)

test-slow: install  ## All tests, including the slow ones
	$(PYTEST) -m "slow or not slow"

coverage: install  ## The tests, with the lines of the package that none of them runs; at least 90 % must be run
	$(PYTEST) --cov=drfpn_da --cov-report=term:skip-covered --cov-fail-under=90

demo: install  ## Adapt, repair labels, mix, measure thin things on generated streets; write a page: some 12 minutes on 2 slow cores
	$(BIN)/python -m drfpn_da demo

bench: install  ## Time, memory and operations of the pyramids
	$(BIN)/python -m benchmarks.speed.neck

lint: install  ## ruff (rules and format) and spelling
	$(BIN)/ruff check --output-format concise $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/codespell $(CODE) docs *.md

format: install  ## Format the code and mend what ruff can mend
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

type: install  ## mypy
	$(BIN)/mypy

check: lint type test  ## What CI runs

docs: install  ## Write docs/configs.md, docs/composition.md and docs/model_zoo.md anew
	$(BIN)/python tools/generate_config_docs.py
	$(BIN)/python tools/generate_composition_docs.py
	$(BIN)/python tools/generate_model_zoo_docs.py

api: install  ## Write the snapshot of the public names anew, after a wanted change
	$(BIN)/python tests/test_public_api.py

lock: install  ## Resolve requirements.in anew into requirements.txt, for all supported Pythons
	$(BIN)/uv pip compile --universal --python-version 3.9 --upgrade --no-annotate --quiet \
		--custom-compile-command "make lock" requirements.in -o requirements.txt

clean:  ## Remove caches and build products, not the virtual environment
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
