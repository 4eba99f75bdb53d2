# make repro          environment, then the whole pipeline on the demo data set
# make test           environment, then every test
# make check          lint, format, types, and known weaknesses of the packages
# make environment    the locked packages in .venv
# make test-sweep     eight cells swept in every way, with kills (half an hour)
# make test-faults    the long form of the fault suite and of the mutation check (about half an hour)
# make test-versions  the tests on the lowest and the highest Python, and with the lowest versions allowed
# make lock           writes requirements.lock from pyproject.toml
# make licences       writes docs/licences.md from what is installed
# make clean          removes the environment and caches; results stay

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test test-sweep test-faults test-versions check audit lock licences clean environment
.DEFAULT_GOAL := repro

environment: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "advaudio needs Python 3.11, 3.12 or 3.13; choose one with: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages (about 5 GB with PyTorch; once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

repro: environment
	$(BIN)/dvc repro
	@$(BIN)/dvc metrics show

test: environment
	$(BIN)/pytest -n 2 -m "not pipeline and not sweep and not faults"
	$(BIN)/pytest -n 2 -m "pipeline and not sweep and not faults"

test-sweep: environment
	$(BIN)/pytest -m sweep

test-faults: environment
	$(BIN)/pytest -n 2 -m faults

test-versions: environment
	.ci/versions

check: environment audit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Fails only on a known weakness, not where there is no network.
audit: environment
	@$(BIN)/uv tool run pip-audit==2.9.0 --requirement requirements.lock --disable-pip --progress-spinner off > $(VENV)/audit.log 2>&1 \
		|| ! grep --quiet "known vulnerabilit" $(VENV)/audit.log || { cat $(VENV)/audit.log; exit 1; }
	@grep --max-count=1 "known vulnerabilit" $(VENV)/audit.log || echo "The packages could not be looked up: $(VENV)/audit.log"

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-annotate --generate-hashes --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

licences: environment
	(cat docs/licences.head.md; $(BIN)/uv tool run pip-licenses==5.5.0 --python $(BIN)/python --from mixed --format markdown --ignore-packages advaudio) > docs/licences.md

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .advaudio build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
