# make repro   environment, then the whole pipeline on the demo data set
# make test    environment, then every test
# make test-sweep  eight cells swept in every way, with kills; half an hour
# make check   lint, format and types
# make lock    requirements.lock anew, from pyproject.toml
# make clean   removes the environment and caches; results stay

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test test-sweep check lock clean environment
.DEFAULT_GOAL := repro

environment: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "advaudio needs Python 3.11, 3.12 or 3.13; choose one with: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages (about 5 GB with PyTorch; once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

repro: environment
	dvc repro
	@dvc metrics show

test: environment
	pytest -n 2 -m "not pipeline and not sweep"
	pytest -m pipeline

test-sweep: environment
	pytest -m sweep

check: environment
	ruff check .
	ruff format --check .
	mypy

lock:
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-annotate --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .advaudio build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
