# make run      serve on port 18801, from a fresh clone on a machine that has Python 3.11 or newer
# make test     every test; make unit only those that need no port
# make crash    kill a gateway 300 times, and 100 times under agents that write to each other, and look each time for
#               what is lost; make crash SEED=1 as it was with a seed
# make stress   put one gateway under everything at once that clients can do to it, for two minutes, and then at scale;
#               make stress SEED=1
# make conformance  run Autobahn's own test cases, over plain sockets and TLS, with and without compression
# make fuzz     fuzz handshakes, frames and the dispatcher, ten minutes each; make fuzz MINUTES=1 SEED=1
# make coverage how much of the floors that strangers reach the unit tests run through
# make faults   kills, disks that fail, too few descriptors, silent and slow peers, storms, clocks that are set: what must
#               go on goes on; make faults SEED=1 as it was with a seed, ONLY=disk_full one of them
# make lint     ruff and mypy
# make bench    measure this gateway on this machine
# PYTEST gives pytest options: make test PYTEST="-m 'not long'" leaves out what takes long
# VENV and PYTHON choose another interpreter: make test VENV=.venv-3.13 PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: run test unit crash faults stress conformance fuzz coverage lint bench clean

run: $(VENV)/.installed
	$(BIN)/twistd -n --pidfile= cell0gw --port 18801

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST) tests

unit: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests --ignore tests/e2e

crash: $(VENV)/.installed-test
	$(BIN)/python -m tests.crash --cycles 300 $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.crash.agents --cycles 100 $(if $(SEED),--seed $(SEED))

stress: $(VENV)/.installed-test
	$(BIN)/python -m tests.stress $(if $(SEED),--seed $(SEED))
	for run in stalled storm tokens; do $(BIN)/python -m tests.stress.scale $$run || exit; done

conformance: $(VENV)/.installed-test
	$(BIN)/python -m tests.conformance

fuzz: $(VENV)/.installed-test $(VENV)/.installed-fuzz
	for target in handshake frames dispatcher; do \
		$(BIN)/python -m tests.fuzz $$target --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) || exit; \
	done

coverage: $(VENV)/.installed-test
	$(BIN)/python -m tests.branches

faults: $(VENV)/.installed-test
	$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

bench: $(VENV)/.installed
	$(BIN)/python -m bench

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet -e .
	touch $@

$(VENV)/.installed-%: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet -e '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .cache
