# A fresh machine needs Python 3.11-3.13, make and git; everything else goes into .venv, in the
# versions and with the hashes of the lock files. `make PYTHON=/path/to/python3.12` picks another.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test bench lab check style types layers smoke lock clean

VENV := .venv
BIN := $(VENV)/bin
SMOKE := build/smoke
LOCKER := build/locker

# No wheel, no install: building an sdist would fetch a build backend that no lock names.
INSTALL := -m pip install --quiet --require-hashes --only-binary :all:

# The first Python on PATH that is in range, runs and can make a venv. All of PATH is looked at, since
# version managers put shims there for versions that are not installed.
SUITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?=
define find_python
for python in $(if $(PYTHON),$(PYTHON),$(1)); do \
  while read -r found; do \
    if "$$found" -c '$(SUITS)' >/dev/null 2>&1; then break 2; fi; \
  done < <(type -aP "$$python"); \
  found=; \
done; \
if [ -z "$${found:-}" ]; then \
  echo "p2pchat needs a Python 3.11, 3.12 or 3.13 with venv (Debian: apt install python3-venv)" >&2; \
  echo "hint: name one by make PYTHON=/path/to/python3.12" >&2; \
  exit 1; \
fi
endef
NEWEST := python3.13 python3.12 python3.11 python3

help:
	@echo "make demo   try it: three peers on this machine meet, chat, share a file"
	@echo "make test   run all tests; ARGS='-k words' for some"
	@echo "make bench  measure, each figure beside the raw library's"
	@echo "make lab    as root: connect across all pairs of NATs, and print the table; ARGS='two cones'"
	@echo "make check  what CI runs: style, types, layers, the built wheel, tests"
	@echo "make lock   refresh the lock files; ARGS=--upgrade for newer versions"
	@echo "make clean  remove .venv and build"

demo: $(VENV)/.installed
	$(BIN)/p2pchat demo

# More at once than there are cores: many tests mostly wait (tests/harness/schedule.py).
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 4 $(ARGS)

bench: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/first_light.py
	$(BIN)/python tests/bench/journal.py
	$(BIN)/python tests/bench/convergence.py
	$(BIN)/python tests/bench/signalling.py

lab: $(VENV)/.installed-dev
	$(BIN)/python -m tests.lab $(ARGS)

# Tests come last, so that the run ends with their count.
check: style types layers smoke test

style: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.installed-dev
	$(BIN)/mypy
	$(BIN)/mypy examples/*.py

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

# The wheel as a user gets it: nothing but the runtime lock beside it, and run away from the sources.
smoke: $(VENV)/.installed-dev $(SMOKE)/.installed
	rm -rf build/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(SMOKE)/bin/python -m pip install --quiet --no-deps --no-index --force-reinstall build/wheel/*.whl
	@p2pchat="$$PWD/$(SMOKE)/bin/p2pchat"; \
	away=$$(mktemp -d); \
	trap 'rm -rf "$$away"' EXIT; \
	cd "$$away"; \
	export P2PCHAT_HOME="$$away/home"; \
	"$$p2pchat" --version; \
	"$$p2pchat" id; \
	"$$p2pchat" demo; \
	"$$p2pchat-signal" --version

# Locked for the oldest Python we run on: what only that one needs does no harm on newer ones. Pins
# and hashes come from the default index alone; a machine's own mirrors may hold other builds.
lock: $(LOCKER)/.installed
	printf '%s\n' \
	  'import tomllib' \
	  'project = tomllib.load(open("pyproject.toml", "rb"))' \
	  'print(*project["dependency-groups"]["dev"], *project["build-system"]["requires"], sep="\n")' \
	  | $(LOCKER)/bin/python > build/dev.in
	$(COMPILE) --output-file requirements.lock pyproject.toml
	$(COMPILE) --output-file requirements-build.lock \
	  --only-build-deps --build-deps-for wheel --build-deps-for editable pyproject.toml
	$(COMPILE) --output-file requirements-dev.lock \
	  --constraint requirements.lock --constraint requirements-build.lock \
	  pyproject.toml build/dev.in

COMPILE = env -u PIP_EXTRA_INDEX_URL -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null \
  $(LOCKER)/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options $(ARGS)

clean:
	rm -rf $(VENV) build dist

# A venv that is there already is kept if its Python will do.
$(VENV)/.made:
	@if ! $(BIN)/python -c '$(SUITS)' 2>/dev/null; then \
	  $(call find_python,$(NEWEST)); \
	  "$$found" -m venv --clear $(VENV); \
	fi
	touch $@

$(VENV)/.installed: $(VENV)/.made requirements.lock requirements-build.lock pyproject.toml
	$(BIN)/python $(INSTALL) -r requirements.lock -r requirements-build.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-index --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(BIN)/python $(INSTALL) -r requirements-dev.lock
	touch $@

$(SMOKE)/.installed: $(VENV)/.made requirements.lock
	$(BIN)/python -m venv --clear $(SMOKE)
	$(SMOKE)/bin/python $(INSTALL) -r requirements.lock
	touch $@

$(LOCKER)/.installed:
	$(call find_python,python3.11 $(NEWEST)); "$$found" -m venv --clear $(LOCKER)
	$(LOCKER)/bin/python -m pip install --quiet pip-tools==7.6.2
	touch $@
