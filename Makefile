# Everything a newcomer needs. `make align` and `make test` set up .venv first; a second call does not.
#
#   make align                  the whole job on the embedded default
#   make align IMAGES=photos    the same on your photographs
#   make align ARGS="--rounds 1 --name quick"
#   make test                   the tests; the whole job is among them, as a user runs it
#   make test-long              those that take minutes each: studies, Ray, faults at many places
#   make smoke                  the whole job once, on too few people to learn much from
#   make quick                  the tests that take seconds
#   make coverage               the same, with the branches that they take, which must not become fewer
#   make lint                   ruff, pyright, and the pages of docs/ built strictly
#   make docs                   the pages alone, into site/
#   make audit                  known faults of the dependencies, and sbom.json; needs the network
#   make picture                README's picture, drawn anew with the default base
#   make curves                 the curves of docs/results.md, drawn anew from the committed results

.DEFAULT_GOAL := help
.PHONY: help setup align test test-long smoke quick coverage lint docs audit picture curves clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
LINTERS := $(VENV)/installed-lint
# Three files of tests at once, for they wait a third of their time, in the order of tests/conftest.py; one thread each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

IMAGES ?=
ARGS ?=
SETTINGS ?= deploy/settings/align.toml

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# The first interpreter that is new enough and can make environments; PYTHON=... overrides the search.
FITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c "$(FITS)" >/dev/null 2>&1 && echo "$$name" && break; done)

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { exec >&2; echo "This needs Python 3.11, 3.12 or 3.13 with its venv module."; \
		echo "Install one, or name it: make PYTHON=/path/to/python"; exit 1; }
	@echo "Setting up $(VENV): a few minutes, once"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(LINTERS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lint]'
	@touch $@

setup: $(INSTALLED) $(LINTERS)

align: $(INSTALLED)
	$(BIN)/hmr-align align --settings $(SETTINGS) $(if $(IMAGES),--images "$(IMAGES)") $(ARGS)

test: $(INSTALLED)
	$(PYTEST) -m "not long" $(ARGS)

test-long: $(INSTALLED)
	$(PYTEST) -m long --timeout 1500 $(ARGS)

smoke: $(INSTALLED)
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && HMR_ALIGN_HOME="$$scratch/home" \
		$(BIN)/hmr-align align --settings deploy/settings/smoke.toml --out "$$scratch/runs"

quick: $(INSTALLED)
	$(PYTEST) -m "not slow and not long" $(ARGS)

# Half as slow again, so not a part of `make test`.
coverage: $(INSTALLED)
	$(PYTEST) -m "not slow and not long" --cov $(ARGS)

lint: $(LINTERS) docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# Our pages pass the strict build on MkDocs 1; the theme's notice about its successors is not about them.
docs: $(LINTERS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# In an environment of its own: nothing of it belongs beside the tests. pip-audit's own bill names only what has faults.
audit:
	test -x .venv-audit/bin/cyclonedx-py || { python3 -m venv .venv-audit && \
		.venv-audit/bin/pip install --quiet pip-audit cyclonedx-bom; }
	.venv-audit/bin/cyclonedx-py requirements constraints.txt --validate --output-format JSON --output-file sbom.json
	.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

picture: $(INSTALLED)
	$(BIN)/python deploy/pictures/make_group.py deploy/pictures/group.jpg $(ARGS)

curves: $(INSTALLED)
	$(BIN)/python deploy/pictures/make_curves.py docs/pictures

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .coverage site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
