# Every target works from a fresh clone with nothing but make and Python 3.11 or later.

SHELL := /bin/sh
BIN := .venv/bin
INSTALLED := .venv/.installed

# The name of a Python may exist without its interpreter (pyenv's shims), or lack venv (Debian), so
# each is tried.
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

.PHONY: help demo test test-slow lint check format bench trust clean

help:
	@echo 'make demo        the quickstart against a real server, then JupyterLab on it'
	@echo '                 (ARGS=--headless: execute it, print what each cell gave)'
	@echo 'make test        the test suite         (ARGS=... goes to pytest)'
	@echo 'make test-slow   load and endurance tests'
	@echo 'make check       format, lint, types, import rules, tests'
	@echo 'make bench       speed beside other RPC peers   (ARGS=... goes to the benchmarks)'
	@echo 'make trust       hostile peers and broken networks, beside the bars and RPyC: the long form'
	@echo '                 (ARGS="T1 T5": these rows; --quick: the short form)'

$(INSTALLED): pyproject.toml $(wildcard jupyter-config/kernels/nbrpc/* jupyter-config/jupyter_server_config.d/*)
	@if ! { $(BIN)/python -c '$(USABLE)' && $(BIN)/python -m pip --version; } >/dev/null 2>&1; then \
	    found=; \
	    for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	        if "$$python" -c '$(USABLE)' >/dev/null 2>&1; then found="$$python"; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo 'nbrpc needs Python 3.11 or later with venv: install it, or name it with make PYTHON=...' >&2; \
	        exit 1; \
	    fi; \
	    echo "making .venv with $$found"; \
	    "$$found" -m venv --clear .venv; \
	fi
	@echo 'installing nbrpc and what its development needs into .venv'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/nbrpc demo $(ARGS)

# On a shared machine of a CI service a test that drives kernels, servers and browsers may lose a race
# against the machine itself. It is run once more there, and the report names it.
test: $(INSTALLED)
	$(BIN)/python -m pytest $(if $(CI),--reruns 1 -raR) $(ARGS)

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

format: $(INSTALLED)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(ARGS)

trust: $(INSTALLED)
	$(BIN)/python -m benchmarks.trust $(ARGS)

clean:
	rm -rf .venv dist build .coverage htmlcov .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
