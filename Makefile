# Every target makes its own virtual environment first. VENV=... uses another one.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: up test check bench soak labs picture clean

up: $(VENV)/.installed
	$(BIN)/netstack up

# Tests of one xdist_group run one after another; pytest-xdist 3.8 cannot do so with pytest 9, hence the bound in setup.cfg.
test: $(VENV)/.tested
	$(BIN)/pytest -n 2 --dist loadgroup -q -rfEs --durations=10 tests --ignore=tests/soak

check: $(VENV)/.checked
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.tested
	$(BIN)/python -m tests.bench

soak: $(VENV)/.tested
	HYPOTHESIS_PROFILE=soak $(BIN)/pytest -q -rs --timeout 7200 tests/soak

labs: $(VENV)/.tested
	$(BIN)/netstack lab run --all --full
	$(BIN)/netstack lab run --all --on loopback
	$(BIN)/netstack lab run --all --on namespaces

picture: $(VENV)/.installed
	$(BIN)/python docs/picture.py > /dev/null

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[namespaces]'
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/.checked: $(VENV)/.tested
	$(BIN)/pip install --quiet --editable '.[check]'
	touch $@
