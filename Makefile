# Sets everything up in .venv, from nothing, and runs it. Each target can be called again at any time.
#   make demo   train on the simulated accelerator, build the bitstreams, write build/demo/report.html
#   make test   the whole test suite
#   make lint   style

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

DEMO_OPTIONS ?=
TEST_OPTIONS ?=

.PHONY: demo test lint setup check clean
.DEFAULT_GOAL := setup

demo: $(READY)
	$(BIN)/bitprop demo $(DEMO_OPTIONS)

# Two workers on two cores.
test: $(READY)
	$(BIN)/pytest -n auto --dist worksteal $(TEST_OPTIONS)

lint: $(READY)
	$(BIN)/ruff check .

setup: $(READY)

$(READY): pyproject.toml | check
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --editable '.[test]'
	touch $@

# What pip cannot bring: named, with the way to get it, before anything else happens.
check:
	@missing=; \
	lacks() { printf '%s\n' "bitprop needs $$1: $$2" >&2; missing=yes; }; \
	if test -z '$(PYTHON)'; then \
		lacks 'Python 3.11 or newer' 'sudo apt install python3 python3-venv  (or make PYTHON=/path/to/python3)'; \
	elif ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then \
		lacks "Python's venv module" 'sudo apt install python3-venv'; \
	fi; \
	command -v g++ >/dev/null || lacks 'g++ (it compiles the simulations)' 'sudo apt install g++'; \
	command -v perl >/dev/null || lacks 'perl (Verilator is started by it)' 'sudo apt install perl'; \
	test -z "$$missing"

clean:
	rm -rf build $(VENV)
