# The targets of this repository. `make help` lists them.

# uv from the PATH, or a private one in .venv: a fresh machine needs only Python 3.11 or newer, git and make.
# Run, not only found: pyenv's shims exist for programs that the active version lacks.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .venv/bin/uv)
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help new check test test-all bench fix manifests render

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

new: $(UV) ## Generate a service beside this folder: make new [DEST=path] [ARGS="--defaults --data database=postgres"]
	@$(UV) run --quiet --frozen --no-dev --inexact groundwork new $(if $(DEST),"$(DEST)",--beside) $(ARGS)

check: $(UV) ## Lint and type-check the template, in seconds
	$(UV) run ruff format --check
	$(UV) run ruff check
	$(UV) run mypy
	$(UV) run pytest -q -n 2 tests/lint

test: check ## Run everything that a change must pass, or some layers: make test LAYERS="service live" [ARGS="-k redis"]
	$(UV) run pytest -n 4 --dist loadgroup -m "not full" --durations 20 $(if $(LAYERS),$(LAYERS:%=tests/%),--ignore=tests/lint) $(ARGS)

test-all: $(UV) ## Run the full matrix too
	$(UV) run pytest -n 4 --dist loadgroup

bench: $(UV) ## Measure the cost of the core, and write benchmarks/results.md
	$(UV) run python -m benchmarks

fix: $(UV) ## Format, fix what the linter can, and write the manifests' lists of files
	@status=0; $(UV) run ruff check --fix || status=$$?; $(UV) run ruff format && \
		$(UV) run python -m tests.manifests && exit $$status

manifests: $(UV) ## Write the manifests' lists of files, and README's table of options
	$(UV) run python -m tests.manifests

render: $(UV) ## Render the working tree: make render DEST=/tmp/service [DATA="database=postgres sample=no"]
	$(UV) run python -m tests.render $(DEST) $(DATA)

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet 'uv==0.13.0'
