# The whole developer interface: demo, test, soak, lint, docs, bench.
PYTHON ?= python3
VENV := .venv
MINUTES ?= 10
BIN := $(VENV)/bin
# Also where the environment forbids bytecode: every worker, and every command that a test types,
# would compile all that it imports again.
export PYTHONDONTWRITEBYTECODE :=
# Tests wait for servers about half of the time.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)

.PHONY: demo test soak lint docs bench clean

demo: $(VENV)/.ready
	@$(BIN)/valkeep demo

test: $(VENV)/.ready
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 6 --dist worksteal

# The simulation with fresh seeds: make soak MINUTES=60
soak: $(VENV)/.ready
	$(BIN)/python -m tests.simulation.soak $(MINUTES)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages that are made of the program; tells the names of those that it wrote.
docs: $(VENV)/.ready
	@$(BIN)/python -m tests.docs

bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks

# Made again when what it is made of changes; otherwise it costs nothing.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Valkeep needs Python 3.11 or newer; this one is %d.%d. Name another: make PYTHON=python3.11" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no module venv. On Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV)
