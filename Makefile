# graft: `make run` does everything on a fresh clone; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := $(if $(GPU),requirements-gpu.lock,requirements.lock)
STAMP := $(VENV)/.installed-$(LOCK)
# The installer itself is pinned too; it fetches in parallel and installs in a fraction of pip's time.
UV_VERSION := 0.13.9
# What pip is told of mirrors, certificates and proxies, by pip.conf or PIP_..., is told to it.
UV := $(BIN)/python src/graft/core/download/pip_settings.py $(BIN)/uv
MLFLOW_PORT ?= 5000
PREFECT_PORT ?= 4200
# Of the tests, side by side; each may hold a gigabyte or two, for TensorFlow and the servers it starts. One more than
# two cores: a third of its time a test waits for what it has started.
WORKERS ?= 3
# Of `make hard`, for each target of fuzz.
MINUTES ?= 10

.PHONY: help setup run test bench hard lint format docs ui doctor lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP) ## install the environment into .venv (GPU=1 adds TensorFlow's CUDA libraries)

$(STAMP): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 12) else "graft needs Python 3.11 or 3.12, and $(PYTHON) is %d.%d. Name another: make $(MAKECMDGOALS) PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	# Byte-compiled now, once: every stage is a process of its own, and would compile what it imports again.
	$(UV) pip install --python $(BIN)/python --compile-bytecode --require-hashes -r $(LOCK)
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-*
	@touch $@

run: setup ## fetch the default data where data/ is empty, and run the whole pipeline
	@$(BIN)/graft run

test: setup ## everything that checks graft: lint, types, tests (WORKERS=3 side by side)
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

bench: setup ## every benchmark with a target: DATA=folder-or-archive ONLY="..." HUB= WEIGHTS= WRITE=docs/performance.md
	@$(BIN)/python -m benchmarks.all $(if $(DATA),--data $(DATA)) $(if $(ONLY),--only $(ONLY)) $(if $(HUB),--hub $(HUB)) \
		$(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(WRITE),--write $(WRITE))

hard: setup ## fuzz, faults and load in full: MINUTES=10 a target, ONLY="PART PART:TARGET" WRITE=docs/reliability.md
	@$(BIN)/python tests/hard --minutes $(MINUTES) $(if $(ONLY),--only $(ONLY)) $(if $(WRITE),--write $(WRITE))

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## rewrite the code as ruff would have it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## docs/commands.md and docs/settings.md, anew from the code
	@$(BIN)/python docs/reference.py

ui: setup ## MLflow and Prefect in the browser, on loopback (MLFLOW_PORT, PREFECT_PORT)
	@$(BIN)/graft ui --mlflow-port $(MLFLOW_PORT) --prefect-port $(PREFECT_PORT)

doctor: setup ## what is installed, reachable and writable
	@$(BIN)/graft doctor

LOCK_COMMAND := $(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --quiet --upgrade --custom-compile-command 'make lock'

lock: ## renew both lock files within pyproject.toml's bounds
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv==$(UV_VERSION); }
	$(LOCK_COMMAND) --output-file requirements.lock
	$(LOCK_COMMAND) --extra gpu --output-file requirements-gpu.lock

clean: ## remove what runs leave behind, except data, models and MLflow's records
	rm -rf .hypothesis .pytest_cache .mypy_cache .ruff_cache .graft/cache/timings .graft/state/checkpoints
