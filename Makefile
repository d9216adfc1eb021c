# make run      serve on port 18801, from a fresh clone on a machine that has Python 3.11 or newer
# make demo     run examples/demo.py: a gateway and agents that rely on each other, for a few seconds
# make test     every test; make unit only those that need no port
# make crash    kill a gateway 300 times, and 100 times under agents that write to each other, and look each time for
#               what is lost; then a storm of slow readers, cuts, kills and narrow limits at once;
#               make crash SEED=1 as it was with a seed
# make stress   put one gateway under everything at once that clients can do to it, for two minutes, and then at scale;
#               make stress SEED=1
# make abuse    hostile clients at full speed beside ten honest ones: what these notice, and what memory it takes;
#               make abuse ONLY=positions COUNT=1 is one of the attacks, by one client
# make failing-writes  the unit tests once more, with connections that end at their first write, their second, ...;
#               make failing-writes WRITES=3 HOWS=behind
# make clients  others' clients, from Chromium to Java, over plain sockets, TLS and proxies: a table of what works;
#               make clients ONLY="ws java" TRANSPORT="plain tls1.3"
# make comparison  tell the same stories to the gateway and to NATS JetStream, and write docs/comparison.md
# make slow     lines of 20, 10, 2 and 0.5 Mbit/s bring long messages in each way there is, and who takes nothing is closed
#               in time: a table, after ten minutes; make slow SPEED=20 WAY=mail
# make conformance  run Autobahn's own test cases, over plain sockets and TLS, with and without compression
# make fuzz     fuzz handshakes, frames and the dispatcher, ten minutes each; make fuzz MINUTES=1 SEED=1
# make coverage how much of the floors that strangers reach the unit tests run through
# make faults   kills, disks that fail, too few descriptors, silent and slow peers, storms, clocks that are set: what must
#               go on goes on; make faults SEED=1 as it was with a seed, ONLY=disk_full one of them
# make lint     ruff and mypy
# make reference  write docs/reference anew, from the code
# make bench    measure this gateway on this machine
# make dist     the wheel and the source archive, in dist/; make sdist-test every test, from an unpacked source archive
# PYTEST gives pytest options: make test PYTEST="-m 'not long'" leaves out what takes long
# VENV and PYTHON choose another interpreter: make test VENV=.venv-3.13 PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Unit tests whose scenarios write to clients.
WRITERS = $(addprefix tests/,agents auth channels guard presence rpc services sessions transports)
# Not empty if this very Python was asked for.
CHOSEN = $(filter-out file,$(origin PYTHON))

.PHONY: run demo test unit crash faults stress abuse failing-writes clients comparison slow conformance fuzz coverage lint reference bench dist sdist-test .python clean

run: $(VENV)/.installed
	$(BIN)/twistd -n --pidfile= cell0gw --port 18801

demo: $(VENV)/.installed-examples
	$(BIN)/python examples/demo.py

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST) tests

unit: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests --ignore tests/e2e

crash: $(VENV)/.installed-test
	$(BIN)/python -m tests.crash --cycles 300 $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.crash.agents --cycles 100 $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.crash.narrow --cycles 10 $(if $(SEED),--seed $(SEED))

stress: $(VENV)/.installed-test
	$(BIN)/python -m tests.stress $(if $(SEED),--seed $(SEED))
	for run in stalled storm tokens; do $(BIN)/python -m tests.stress.scale $$run || exit; done

abuse: $(VENV)/.installed-test
	$(BIN)/python -m tests.stress.abuse $(if $(ONLY),--only $(ONLY)) $(if $(COUNT),--count $(COUNT))

failing-writes: $(VENV)/.installed-test
	for write in $(or $(WRITES),1 2 3 4 5 6 7 8); do for how in $(or $(HOWS),behind broken); do \
		$(BIN)/python -m pytest -q --failing-write $$write --failing-how $$how $(WRITERS) || exit; \
	done; done

clients: $(VENV)/.installed-clients
	$(BIN)/python -m tests.clients $(if $(ONLY),--only $(ONLY)) $(if $(TRANSPORT),--transport $(TRANSPORT))

comparison: $(VENV)/.installed-comparison
	$(BIN)/python -m tests.comparison

slow: $(VENV)/.installed-test
	$(BIN)/python -m tests.slow $(if $(SPEED),--speed $(SPEED)) $(if $(WAY),--way $(WAY))

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

reference: $(VENV)/.installed-test
	$(BIN)/python -m tests.reference

dist: $(VENV)/.installed-test
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

sdist-test: $(VENV)/.installed-test
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && chmod a+rx "$$folder" && \
	$(BIN)/python -m build --sdist --outdir "$$folder" && tar -xzf "$$folder"/*.tar.gz -C "$$folder" && \
	$(MAKE) -C "$$folder"/cell0gw-*/ test VENV=.venv PYTHON=$(abspath $(BIN)/python)

# Ends with one line where pip would fill the screen: Python is too old, or the environment was made with another one.
.python:
	@version='import sys; print("%d.%d" % sys.version_info[:2])'; \
	enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	fail() { echo "make: $$*" >&2; exit 1; }; \
	if [ -e "$(BIN)/python" ] || [ -L "$(BIN)/python" ]; then \
		has=$$("$(BIN)/python" -c "$$version" 2>/dev/null) \
			|| fail "the Python that $(VENV) was made with is gone: rm -rf $(VENV), then try again"; \
		"$(BIN)/python" -c "$$enough" \
			|| fail "$(VENV) has Python $$has, cell0gw needs 3.11 or newer: rm -rf $(VENV), then make $(or $(MAKECMDGOALS),run) PYTHON=python3.11"; \
		[ -z "$(CHOSEN)" ] || [ "$$("$(PYTHON)" -c "$$version" 2>/dev/null)" = "$$has" ] \
			|| fail "$(VENV) has Python $$has, not that of $(PYTHON): rm -rf $(VENV), or another folder: VENV=.venv-other"; \
	else \
		has=$$("$(PYTHON)" -c "$$version" 2>/dev/null) \
			|| fail "$(PYTHON) does not run; choose another one: make $(or $(MAKECMDGOALS),run) PYTHON=python3.11"; \
		"$(PYTHON)" -c "$$enough" \
			|| fail "$(PYTHON) is Python $$has, cell0gw needs 3.11 or newer: make $(or $(MAKECMDGOALS),run) PYTHON=python3.11"; \
	fi

# pip comes last: without it the environment is not whole.
$(BIN)/pip: | .python
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed: $(BIN)/pip setup.cfg setup.py pyproject.toml | .python
	$(BIN)/pip install --quiet -e .
	touch $@

$(VENV)/.installed-%: $(BIN)/pip setup.cfg setup.py pyproject.toml | .python
	$(BIN)/pip install --quiet -e '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .cache
