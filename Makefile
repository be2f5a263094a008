# What one does with this repository. `make help` lists it.

# uv from the PATH, or one of our own in .venv: a bare machine needs Python 3.11 or newer, git and make alone.
# Tried, not only found: pyenv's shims answer for programs that the version in force does not have.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .venv/bin/uv)
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help new check test test-service test-all bench fix manifests render

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

new: $(UV) ## Answer the questions, get a service beside this folder: make new [DEST=path] [ARGS="--defaults --data database=postgres"]
	@$(UV) run --quiet --frozen --no-dev --inexact groundwork new $(if $(DEST),"$(DEST)",--beside) $(ARGS)

check: $(UV) ## Lint and types of the template and of what it renders, in seconds
	$(UV) run ruff format --check
	$(UV) run ruff check
	$(UV) run mypy
	$(UV) run pytest -q tests/lint

test: check ## Everything that a change must pass
	$(UV) run pytest -n 2 --dist loadgroup -m "not full" --durations 20

test-service: $(UV) ## Run the in-depth tests in services, or those of one option: make test-service ONLY=redis
	$(UV) run pytest -m "not full" tests/service $(if $(ONLY),-k "$(ONLY)")

test-all: $(UV) ## The whole matrix as well
	$(UV) run pytest -n 2 --dist loadgroup

bench: $(UV) ## Measure what the core costs, and write benchmarks/results.md
	$(UV) run python -m benchmarks

fix: $(UV) ## Format, mend what the linter can, and bring the manifests' lists of files up to date
	$(UV) run ruff check --fix
	$(UV) run ruff format
	$(UV) run python -m tests.manifests

manifests: $(UV) ## Bring the manifests' lists of files up to date
	$(UV) run python -m tests.manifests

render: $(UV) ## Render the working tree as it is: make render DEST=/tmp/service [DATA="database=postgres sample=no"]
	$(UV) run python -m tests.render $(DEST) $(DATA)

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet 'uv>=0.13,<0.14'
