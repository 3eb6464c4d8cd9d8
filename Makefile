# Two commands set everything up: `make run` and `make test`. Nothing but Python >= 3.11 and make is needed beforehand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SELF := --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml
.DEFAULT_GOAL := help
# A virtual environment that could not be made whole must not be taken for one.
.DELETE_ON_ERROR:
.PHONY: help run demo setup setup-dev web test check fix flow torture bench docs schema screenshots lock clean

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: setup web  ## Set everything up and start the whole demonstration community
	@$(BIN)/linli up

demo: setup web  ## Prove it: start everything, let four emergencies happen, print the delay of every hop
	@$(BIN)/linli up --check

setup: $(VENV)/.run-ready  ## Install what running needs
setup-dev: $(VENV)/.dev-ready  ## Install what developing and testing need

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Linli needs Python 3.11 or newer: call make with PYTHON=python3.11")'
	@echo "[setup] creating the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "[setup] installing the pinned, hash-checked libraries for running (about a minute)"
	@$(BIN)/python -m linli.install requirements.lock
	@$(BIN)/python -m pip install $(SELF)
	@touch $@

$(VENV)/.dev-ready: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "[setup] installing the pinned, hash-checked libraries for testing (about two minutes)"
	@$(BIN)/python -m linli.install requirements-dev.lock
	@$(BIN)/python -m pip install $(SELF)
	@touch $@ $(VENV)/.run-ready

test: setup-dev web  ## Set up and run all tests
	@$(BIN)/pytest

check: setup-dev web  ## Format, lint, types, import floors, dependencies, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .
	@$(BIN)/pytest

fix: setup-dev  ## Format and mend what can be mended by machine
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup-dev  ## Resolve the lock files anew (versions and hashes, no download addresses)
	@$(LOCK) --extra build --extra edge --extra cloud --extra sim -o requirements.lock
	@$(LOCK) --extra build --extra edge -o requirements-edge.lock
	@$(LOCK) --extra build --extra cloud --extra postgres --extra influx -o requirements-cloud.lock
	@$(LOCK) --extra build --extra sim -o requirements-sim.lock
	@$(LOCK) --all-extras -o requirements-dev.lock

clean:  ## Remove what was built and what the demonstration stored
	rm -rf $(VENV) var build *.egg-info dashboards/node_modules dashboards/dist

bench: setup-dev  ## Measure: a table and var/bench.json, each figure beside its reference
	@$(BIN)/python -m benchmarks

torture: setup-dev web  ## Slow: kill -9, cuts, full disks, with real processes, seeded and counted
	@$(BIN)/pytest -n 0 -m torture tests/torture

flow: setup-dev web  ## Only the tests from the simulator to the screen
	@$(BIN)/pytest -n 0 tests/flow

schema: setup-dev  ## Write the generated documents: JSON Schemas, OpenAPI, the web's API types
	@$(BIN)/linli edge schema > config/edge.schema.json
	@$(BIN)/linli cloud schema > config/cloud.schema.json
	@$(BIN)/linli sim scenarios --schema > config/shuibei/scenario.schema.json
	@$(BIN)/python -c 'import json; from edge.drivers.modbus.model import DeviceModel; print(json.dumps(DeviceModel.model_json_schema(), ensure_ascii=False, indent=2))' > config/devices/device-model.schema.json
	@$(BIN)/python -c 'import json; from cloud.alerts.ruleset import schema; print(json.dumps(schema(), ensure_ascii=False, indent=2))' > config/rules.schema.json
	@$(BIN)/linli cloud openapi > docs/openapi.json
	@$(BIN)/python -c 'from linli import web; web.write_api_types(web.ensure_node())'
	@$(BIN)/python -m linli.reference > docs/reference.md

docs: setup-dev  ## Check the documents against the code
	@$(BIN)/pytest -n 0 tests/architecture/test_docs.py tests/contract

web: setup  ## Build the web pages (installs Node from a wheel where there is no Node 24)
	@$(BIN)/python -m linli.web

screenshots: setup-dev web  ## Take the pictures of every page into docs/images
	@$(BIN)/python -m tests.e2e.screenshots
