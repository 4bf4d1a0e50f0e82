# What a newcomer needs: `make serve` and `make test`. Both make a .venv, install what is missing and
# do nothing twice: a stamp in .venv is older than pyproject.toml only if there is something to do.
#
#   make serve ARGS="--port 9000"      any flag of `tusjumbo serve`
#   make test ARGS="-k cors"           any argument of pytest
#   make serve PYTHON=python3.13       another Python (3.11 or newer)

VENV := .venv
BIN := $(VENV)/bin
CAMPAIGN ?= 20

# command:Debian packages, for the tests
TOOLS := cc:gcc,libc6-dev chromium:chromium curl:curl file:file node:nodejs npm:npm openssl:openssl strace:strace
CLIENTS := tests/clients/js
NGINX := .cache/nginx/usr/sbin/nginx
PEERS := .cache/peers/.installed
READY = $(VENV)/.test tools $(CLIENTS)/node_modules/.tusjumbo-stamp $(NGINX) $(PEERS)

MAY_APT = [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null
APT = apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends
FIND_PYTHON = for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 ""; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& break; done

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help serve test soak bench bench-many bench-tables bench-results bench-readme format readme conformance tools clean
.DELETE_ON_ERROR:

help:
	@echo "make serve    run the server           (ARGS=\"--port 9000\")"
	@echo "make test     check, type-check, test  (ARGS=\"-k cors\")"
	@echo "make soak     the fault campaigns, CAMPAIGN=$(CAMPAIGN) times as long"
	@echo "make bench    measure                  (ARGS=\"--help\")"
	@echo "make bench-results  measure what the README shows (TUSD=/path/to/tusd), in twelve minutes"
	@echo "make bench-readme   write the README's figures and chart anew from what was measured"
	@echo "make bench-many     measure with 10,000 uploads open, and 100,000 recorded"
	@echo "make bench-tables   measure stream_csv beside DictReader, polars and pyarrow"
	@echo "make format   put the code in shape"
	@echo "make readme   write the README's tables of settings and promises anew"
	@echo "make conformance   run the suite on other servers too, for the README's table"
	@echo "make clean    remove what was installed"

serve: $(VENV)/.serve
	@exec $(BIN)/tusjumbo serve $(ARGS)

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

soak: $(READY)
	TUSJUMBO_CAMPAIGN=$(CAMPAIGN) $(BIN)/python -m pytest --timeout 7200 $(ARGS) \
		$$(grep -rl --include='test_*.py' 'import CAMPAIGN' tests)

bench: $(VENV)/.test tools
	$(BIN)/python -m tests.benchmarks $(ARGS)

bench-results: $(VENV)/.test $(PEERS) tools
	PYTHON=$(BIN)/python TUSD="$(TUSD)" tests/benchmarks/record.sh

bench-readme: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks.results README.md

bench-many: $(VENV)/.test tools
	$(BIN)/python -m tests.benchmarks.many $(ARGS)

bench-tables: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks.tables --peers $(ARGS)

format: $(VENV)/.test
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

readme: $(VENV)/.test
	$(BIN)/python -m tusjumbo.cli.reference README.md
	$(BIN)/python -m tests.seed README.md

conformance: $(VENV)/.test $(PEERS)
	$(BIN)/python -m tests.conformance.verdicts README.md

clean:
	rm -rf $(VENV) $(CLIENTS)/node_modules .mypy_cache .ruff_cache .cache dist

$(BIN)/pip:
	@$(FIND_PYTHON); \
	if [ -z "$$python" ] && $(MAY_APT); then $(APT) python3-venv && $(FIND_PYTHON); fi; \
	if [ -z "$$python" ]; then \
		echo "tusjumbo needs Python 3.11 or newer with venv (Debian: apt install python3-venv)." >&2; \
		exit 1; \
	fi; \
	"$$python" -m venv $(VENV)

$(VENV)/.serve: pyproject.toml | $(BIN)/pip
	@echo "Installing tusjumbo in $(VENV) ..."
	@$(BIN)/pip install --quiet --editable '.[fast]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/pip
	@echo "Installing tusjumbo and its tests' packages in $(VENV) ..."
	@$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/pip install --quiet --editable '.[fast]' --group dev
	@touch $@ $(VENV)/.serve

# The tests look for the same stamp, and for the lock file's digest in it.
$(CLIENTS)/node_modules/.tusjumbo-stamp: $(CLIENTS)/package-lock.json | tools
	@echo "Installing tus-js-client in $(CLIENTS) ..."
	@cd $(CLIENTS) && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@printf %s "$$(sha256sum $< | cut -c-64)" >$@

# The servers that the conformance suite is tried on; each knows itself whether it is there.
$(PEERS): tests/harness/peers.py | $(VENV)/.test tools
	@echo "Installing other tus servers in $(@D) ..."
	@$(BIN)/python -m tests.harness.peers
	@touch $@

# Unpacked, not installed: a test is no reason to start a web server on somebody's machine.
$(NGINX): | tools
	@mkdir -p $(@D) && cd .cache && \
	if command -v nginx >/dev/null; then ln -sf "$$(command -v nginx)" nginx/usr/sbin/nginx; \
	elif command -v apt-get >/dev/null; then \
		{ apt-get download -qq nginx 2>/dev/null || \
			{ $(MAY_APT) && apt-get update -qq && apt-get download -qq nginx 2>/dev/null; }; } && \
		dpkg-deb -x nginx_*.deb nginx && rm nginx_*.deb; \
	else echo "A test of the README will fail without nginx." >&2; fi

tools:
	@missing=$$(for tool in $(TOOLS); do \
		command -v "$${tool%%:*}" >/dev/null || echo "$${tool#*:}" | tr , ' '; done); \
	if [ -z "$$missing" ]; then :; \
	elif $(MAY_APT); then $(APT) $$missing; \
	else echo "Some tests will fail without these Debian packages:" $$missing >&2; fi
