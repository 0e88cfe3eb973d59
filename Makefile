# The two commands of the README are `make demo` and `make test`; the rest are for people who change the code.
# TORCH: what pip is to install as the text model's runtime. Where the default resolves to a CUDA build that you do not
# want, give PyTorch's own CPU build, as its install page says: make demo TORCH="torch ...".
PYTHON ?= python3
TORCH ?= torch==2.13.0
# a process for each core: each compiles what it meets first, and all share the machine code
PYTEST_FLAGS ?= -n auto --maxprocesses 4 --dist worksteal
VENV := .venv
BIN := $(VENV)/bin
# keep every cache inside the checkout
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# threads that wait for work sleep: on a busy machine spinning ones make LightGBM, torch and Numba many times slower
export OMP_WAIT_POLICY := PASSIVE
export TRIFUSE_DATA ?= $(abspath ../shared/data)

.PHONY: demo test lint bench clean

$(VENV)/.base: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("trifuse needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet -e '.[sentiment]'
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/pip install --quiet -e '.[sentiment,dev]'
	touch $@

demo: $(VENV)/.base
	$(BIN)/trifuse run configs/demo.yaml $(DEMO_FLAGS)

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(PYTEST_FLAGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python scripts/bench.py $(BENCH_FLAGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
