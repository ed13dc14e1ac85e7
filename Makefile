# `make demo` and `make test` each set up .venv first; nothing else is needed but Python 3.10, 3.11 or 3.12.
#
#   make demo          translate a Spanish sentence into English speech with the model that is shipped
#   make demo-train    the whole pipeline from nothing, at a reduced size
#   make test          lint, types, import rules and the tests, as the CI runs them
#   make test-long     the tests that take longer
#   make bench         what takes how long beside other libraries (a quarter of an hour; ARGS="--only P1 P14")
#   make bench-gpu     the same of one GPU
#   make setup         only .venv (PYTHON=/path/to/python3.11 chooses the interpreter)
#   make lock          resolve requirements.lock anew
#   make clean         remove caches and builds; .venv stays

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-lock

# Tests run side by side; each process computes with one thread.
JOBS ?= 2

FOLDERS := $(wildcard tests/unit tests/golden tests/presets tests/packaging tests/toy tests/parallel tests/slurm)

export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo demo-train test test-long bench bench-gpu lint lock clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml .ci/setup
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh .ci/setup
	@cp requirements.lock $@

# Every core may work at the demo.
demo: setup
	@env -u OMP_NUM_THREADS $(BIN)/python -m codec_s2st.demo.show $(ARGS)

demo-train: setup
	@env -u OMP_NUM_THREADS $(BIN)/python -m codec_s2st.demo.train $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not long" $(FOLDERS) $(ARGS)

test-long: setup
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m long tests $(ARGS)

# With one thread each, unless OMP_NUM_THREADS says otherwise.
bench: setup
	$(BIN)/python benchmarks/run.py $(ARGS)

bench-gpu: setup
	$(BIN)/python benchmarks/run.py --gpu $(ARGS)

# Names and versions only: where packages come from is for each machine to say.
lock: setup
	$(BIN)/uv pip compile pyproject.toml --extra demo --extra dev --universal --python-version 3.10 \
		--no-emit-index-url --no-emit-find-links --no-header --upgrade --quiet --output-file requirements.lock
	@! grep -nE '://' requirements.lock

clean:
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
