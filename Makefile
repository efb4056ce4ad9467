# Everything that is built, run or checked in a checkout. `make` lists the targets.
PYTHON ?= python3
RUN ?= run/python-env
WITH ?= dev
VENV := .venv
unexport PYTHONDONTWRITEBYTECODE  # a test run starts hundreds of processes, which import the same modules
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header

.PHONY: help install run test test-flink test-spark bench scaling peers faults soak lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z -]*:.*## / {printf "make %-22s %s\n", $$1, $$2}' Makefile

install: $(VENV)/.ready  ## Install Tamis into .venv and compile its kernels

run: $(VENV)/.ready  ## Run the sample job on the text in this Python environment (RUN=folder)
	$(BIN)/tamis run python-env --output $(RUN)

# The clients, servers and linters of the tests come with WITH=dev, torch (5 GB) with WITH=ci.
test: $(VENV)/.ready-$(WITH)  ## Run ruff, mypy and the quick tests, on two cores (PYTEST=arguments, WITH=ci)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile $(PYTEST)

# deploy/cluster downloads Flink or Spark once and starts it on the loopback.
test-flink test-spark: test-%: $(VENV)/.ready-dev  ## Run all tests on a real Flink or Spark
	$(BIN)/pytest tests/pipelines -m $* $(PYTEST)

bench: $(VENV)/.ready-dev  ## Measure speed beside peers and the machine's limits (BENCH=arguments)
	$(BIN)/python tests/bench/run.py $(BENCH)

scaling: $(VENV)/.ready-dev  ## Measure and write docs/scaling.md (SCALING=arguments)
	$(BIN)/python -m tests.bench.paper $(SCALING)

peers: $(VENV)/.ready-dev .venv-peers/.ready  ## Compare with datatrove, TFDS, Dolma, decon and corpus-assay
	TAMIS_PEERS=.venv-peers/bin/python $(BIN)/pytest tests/peers -m "slow or not slow"

faults: $(VENV)/.ready-dev  ## Cause each fault at each moment, for docs/faults.md (FAULTS=arguments)
	$(BIN)/python -m tests.faults.matrix $(FAULTS)

soak: $(VENV)/.ready-dev  ## Kill and resume the sample job N times (N=100)
	$(BIN)/python -m tests.faults.soak $(or $(N),100)

lock: $(VENV)/.ready  ## Update the pinned dependencies
	$(PIP) install -q uv
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml -c requirements.lock -o deploy/requirements.lock \
	  --extra s3 --extra gcs --extra azure --extra dataflow
	$(COMPILE) pyproject.toml -c requirements.lock -o requirements-dev.lock --extra dev
	$(COMPILE) pyproject.toml -c requirements-dev.lock -o requirements-ci.lock \
	  --extra dev --extra torch --extra neural --extra readers

clean:  ## Remove environments, builds and runs
	rm -rf $(VENV) .venv-airflow .venv-bench .venv-peers run build *.egg-info
	find tamis pipelines transforms tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Tamis needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PIP) install -q --require-hashes -r requirements.lock
	$(PIP) install -q --no-deps --editable .
	$(BIN)/tamis warmup
	touch $@

$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	$(PIP) install -q --require-hashes -r requirements-dev.lock
	touch $@

# --no-deps: the lock is complete, and exceeds some packages' limits (pyproject.toml, tool.uv).
# --no-compile: most of these packages are never imported.
$(VENV)/.ready-ci: requirements-ci.lock $(VENV)/.ready-dev
	$(PIP) install -q --require-hashes --no-deps --no-compile -r requirements-ci.lock
	touch $@

# Of llama-index-core only the data of NLTK's Punkt are used: hence --no-deps.
.venv-peers/.ready: tests/peers/requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m venv --clear .venv-peers
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check -r $<
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check --no-deps llama-index-core==0.14.25
	touch $@
