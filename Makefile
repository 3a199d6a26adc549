# Two commands for a newcomer: `make demo` and `make test`. Each makes .venv and installs what it needs.

PYTHON ?= python3
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo docs test test-all test-slow test-fast check clean

demo: .venv/demo.stamp
	$(BIN)/banditroute demo --out demo-output

# The site of docs/, in site/; a warning is an error.
docs: .venv/docs.stamp
	$(BIN)/zensical build --strict --clean

# In parallel, one process for each core. Without compiled files, each process and each script compiles all again.
test: .venv/test.stamp
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-all: test test-slow

# Browsers, soaks and long attacks.
test-slow: .venv/test.stamp
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m slow

# Without what needs PyTorch.
test-fast: .venv/test.stamp
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal -m "not torch and not slow"

check: .venv/test.stamp
	scripts/check

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[logs,plot]'
	touch $@

.venv/docs.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[docs]'
	touch $@

# PyTorch first and by its exact version: left to sentence-transformers, pip would take the newest and largest build.
# A browser looks at the reports; where the system's own cannot be installed, that test says so and is skipped.
.venv/test.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) torch
	$(INSTALL) -e '.[test]'
	scripts/browser
	touch $@ .venv/demo.stamp .venv/docs.stamp

clean:
	rm -rf .venv demo-output site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
