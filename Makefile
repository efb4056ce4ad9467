# make run: the main job on text this machine already has.  make test: every check but the slow ones, those with torch and those on clusters (.ci/run has them).  make bench: speed beside peers and limits.
# make faults: every fault at every moment, into docs/faults.md.  make soak N=100: the job killed again and again.
# make peers: the same values as the peers.  make scaling: docs/scaling.md.  make lock: refresh the pinned dependencies.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= run/python-env
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test test-flink test-spark test-prism bench scaling peers faults soak lock clean

run: $(VENV)/.ready
	$(BIN)/tamis run python-env --output $(RUN)

# make test WITH=ci: with torch and the readers of the export formats too, which are 5 GB.
WITH ?= dev
test: $(VENV)/.ready-$(WITH)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest $(PYTEST)

# On real clusters, which deploy/cluster downloads once and starts on the loopback: all of it, where .ci/run has what is quick.
test-flink test-spark test-prism: test-%: $(VENV)/.ready-dev
	$(BIN)/pytest tests/pipelines -m $* $(PYTEST)

bench: $(VENV)/.ready-dev
	$(BIN)/python tests/bench/run.py $(BENCH)

scaling: $(VENV)/.ready-dev
	$(BIN)/python -m tests.bench.paper $(SCALING)

peers: $(VENV)/.ready-dev .venv-peers/.ready
	TAMIS_PEERS=.venv-peers/bin/python $(BIN)/pytest tests/peers -m "slow or not slow"

faults: $(VENV)/.ready-dev
	$(BIN)/python -m tests.faults.matrix $(FAULTS)

soak: $(VENV)/.ready-dev
	$(BIN)/python -m tests.faults.soak $(or $(N),100)

lock: $(VENV)/.ready
	$(PIP) install -q uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra s3 --extra gcs --extra azure --extra dataflow -c requirements.lock pyproject.toml -o deploy/requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra dev --extra torch --extra readers -c requirements-dev.lock pyproject.toml -o requirements-ci.lock

clean:
	rm -rf $(VENV) .venv-airflow .venv-bench .venv-peers run build *.egg-info
	find pipelines transforms tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tamis needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PIP) install -q --require-hashes -r requirements.lock
	$(PIP) install -q --no-deps --editable .
	$(BIN)/tamis warmup
	touch $@

$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	$(PIP) install -q --require-hashes -r requirements-dev.lock
	touch $@

# The lock names all, and some beyond the caps of others (pyproject.toml, tool.uv), so that pip shall look for none. Most is never imported.
$(VENV)/.ready-ci: requirements-ci.lock $(VENV)/.ready-dev
	$(PIP) install -q --require-hashes --no-deps --no-compile -r requirements-ci.lock
	touch $@

.venv-peers/.ready: tests/peers/requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m venv --clear .venv-peers
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check -r $<
	touch $@
