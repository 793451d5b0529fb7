# Everything starts from a machine with Python 3.11+, make and a network of package registries.
# `make setup` makes .venv from uv.lock; every other target goes through it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A uv that is on PATH is used as it is; otherwise one is put into a folder of its own.
UV_HOME := $(VENV)-uv
UV := $(shell command -v uv 2>/dev/null || echo $(UV_HOME)/bin/uv)
KEEP ?= 0
# Processes that tests run in; each of the end-to-end tests', and the one of `make test` that runs the integration tests beside
# them, has clusters of its own (about 1.5 GB).
WORKERS ?= 2
PYTEST = $(BIN)/pytest -n $(WORKERS)
# A test of real processes that fails is run once more, as a machine that stalls can make it miss its time. It is told
# at the end, with its traceback, even if it passes then: such a test is one to put right.
RERUNS = --reruns 1 --rerun-show-tracebacks
# Makes the target $(2), and meanwhile $(1), of which it is told once both have ended.
BESIDE = told=$$(mktemp); $(MAKE) $(1) >$$told 2>&1 & other=$$!; \
	trap 'kill $$other 2>/dev/null; rm -f $$told' EXIT; trap 'exit 130' INT TERM; \
	$(MAKE) $(2); status=$$?; wait $$other || status=$$?; cat $$told; exit $$status

.PHONY: help setup demo test checked clusters binaries lint unit integration e2e faults bench-planner bench-deferral check-capacity fit-performance bench-extender bench-operator accelerators-table manifests kind-demo clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Make .venv with everything the project needs

$(VENV)/.ready: pyproject.toml uv.lock
	@command -v "$(UV)" >/dev/null || { $(PYTHON) -m venv $(UV_HOME) && $(UV_HOME)/bin/pip install --quiet 'uv>=0.8'; }
	$(UV) sync --frozen --python "$$(command -v $(PYTHON))"
	@touch $@

demo: setup ## A day of carbon-aware placement on a real control plane (KEEP=1 leaves it running)
	$(BIN)/python -m ecoserve_demo $(if $(filter 1,$(KEEP)),--keep)

test: setup ## All checks and tests (WORKERS=2: processes that tests run in)
	@# What is to be built for the tests of clusters is built meanwhile, as far as the others leave time.
	@TTY_COMPATIBLE=0 nice -n 19 $(BIN)/ecoserve-devcluster build & building=$$!; \
	trap 'kill $$building 2>/dev/null' EXIT; trap 'exit 130' INT TERM; \
	$(MAKE) checked && wait $$building && trap - EXIT && $(MAKE) clusters

# Style and types take one core, and tests of clusters wait for them much of the time: beside others they cost little.
checked: setup
	@$(call BESIDE,lint,unit)

clusters: binaries
	@$(call BESIDE,integration WORKERS=1,e2e)

binaries: setup ## Build what clusters consist of from source, once: about ten minutes
	@$(BIN)/ecoserve-devcluster build

lint: setup ## Style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup ## Unit and property tests, about a minute and a half
	$(PYTEST) --dist worksteal tests/unit

integration: binaries ## Tests against the real kube-apiserver, kube-scheduler, helm and Prometheus
	$(PYTEST) $(RERUNS) --dist loadfile tests/integration

e2e: binaries ## The operator and the extender on the development cluster
	$(PYTEST) $(RERUNS) --dist loadfile --no-loadscope-reorder tests/e2e

faults: binaries ## Outages at full length: fifty operators killed in the middle of changes, a minute without API server
	ECOSERVE_KILLS=50 ECOSERVE_OUTAGE_SECONDS=60 $(BIN)/pytest tests/e2e/operator/test_outages.py

bench-deferral: setup ## What waiting for a cleaner hour saves on real days (needs ECOSERVE_DATA)
	$(BIN)/python benchmarks/deferral

check-capacity: setup ## Predicted capacity against simulated replicas (QUICK=1: a small part)
	$(BIN)/python benchmarks/capacity $(if $(filter 1,$(QUICK)),--quick)

bench-planner: setup ## The planner against plain HiGHS, SCIP and CBC (QUICK=1: small instances)
	$(UV) sync --frozen --inexact --group bench
	$(BIN)/python benchmarks/planner $(if $(filter 1,$(QUICK)),--quick)

accelerators-table: setup ## Write the table of docs/accelerators.md anew
	$(BIN)/python benchmarks/accelerators

bench-extender: setup ## The extender on the real scheduler, against none, one that does nothing and one in Go (QUICK=1, SMALL=1: 1,000 nodes)
	$(BIN)/python benchmarks/extender $(if $(filter 1,$(QUICK)),--quick) $(if $(filter 1,$(SMALL)),--small)

bench-operator: setup ## The operator on 1,000 nodes with 200 servings: steps, idle, restart, soak (QUICK=1, PHASES="steps idle")
	$(BIN)/python benchmarks/operator $(if $(filter 1,$(QUICK)),--quick) $(if $(PHASES),--phases $(PHASES))

fit-performance: setup ## Fit the performance model on ECOSERVE_DATA and test it on rows kept out (WRITE=1: keep it)
	$(BIN)/python benchmarks/performance $(if $(filter 1,$(WRITE)),--write)

manifests: setup ## Write the generated manifests, chart parts and kind files anew
	$(BIN)/python manifests/generate.py

kind-demo: setup ## The same on a kind cluster (needs Docker and kind)
	examples/kind/demo.sh

clean: ## Remove .venv and what tools left behind
	rm -rf $(VENV) $(UV_HOME) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
