# Two commands matter to a new user: `make demo` and `make test`. Both create the environment.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# One thread per forward pass: two models at work on few cores fight over them otherwise.
export OMP_NUM_THREADS ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1

.PHONY: demo test lint format bench servers clean

demo: $(STAMP)
	@echo "comparing six ways to use the shipped pair on 100 problems (a minute or two)"
	@$(BIN)/collab demo

test: lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python tests/bench/bench.py --out bench.json $(if $(ONLY),--only $(ONLY))

# Real servers for the tests, installed once; the folder can be kept between machines of one kind.
# `make servers SERVERS="vllm transformers"` installs some of them.
COLLAB_SERVERS ?= $(HOME)/.cache/collab-servers
servers: $(STAMP)
	$(BIN)/python tests/servers/install.py "$(COLLAB_SERVERS)" $(SERVERS)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 is needed, found $$($(PYTHON) --version); name another: make PYTHON=python3.11" >&2; exit 1; }
	@echo "step 1 of 2: creating the environment $(VENV) (seconds)"
	@$(PYTHON) -m venv $(VENV)
	@echo "step 2 of 2: installing Collab, torch, transformers and the tools of its tests (2 to 10 minutes, most of it the download of torch)"
	@$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[local,dev]'
	@touch $(STAMP)
	@echo "installed"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
