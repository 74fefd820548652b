# make run     create .venv, install, and serve the sample: gearpool -c config/workers.yaml
# make test    create it with what the tests need, foreign peers too where they can be installed, and run all of them
# make check   what CI runs: lint, types, architecture, generated files, tests
# make debian  a bare Debian, once, as root: with it make test boots the systemd unit and runs the image
# make bench   the project's own benchmarks: each prints its ratio; nothing here is timed inside the tests
# make stress  what takes longer than a test may: 10 000 interruptions in place
# make dist    wheel and sdist into dist/, checked as a package index would check them
# make chaos   the kills and outages of the tests, 100 kills and a minute long

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CONFIG ?= config/workers.yaml
PYTEST ?=
# Most tests wait for processes and servers, so more of them than cores run at once.
JOBS   ?= 4

# Debian's names. stunnel4: TLS in front of gearmand, which Debian builds without it. iproute2: a black-holed server.
PEERS_DEB := gearman-job-server gearman-tools libgearman-dev libgearman-client-perl php-cli php-gearman stunnel4 \
             iproute2 systemd debootstrap buildah crun gcc libc6-dev nodejs npm zsh fish
PEERS_NPM := gearman@2.1.0 pyright@1.1.414

.PHONY: run test check lint types architecture generated tests bench stress chaos dist peers debian format clean

run: $(VENV)/.installed
	exec $(BIN)/gearpool -c $(CONFIG)

test: peers tests

check: lint types architecture generated test

lint: $(VENV)/.dev
	$(BIN)/ruff check gearpool tests
	$(BIN)/ruff format --check gearpool tests

types: $(VENV)/.dev
	$(BIN)/mypy

architecture: $(VENV)/.dev
	$(BIN)/lint-imports

generated: $(VENV)/.dev
	$(BIN)/python -m gearpool.config.reference --check

tests: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST)

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks

stress: $(VENV)/.dev
	$(BIN)/python -m tests.stress

chaos: $(VENV)/.dev
	GEARPOOL_KILLS=100 GEARPOOL_OUTAGE_S=60 $(BIN)/python -m pytest tests/chaos --timeout 600 $(PYTEST)

dist: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

debian: .peers/debian/made-for-gearpool

.peers/debian/made-for-gearpool: $(VENV)/.dev
	$(BIN)/python -m tests.deploy.debian .peers/debian

format: $(VENV)/.dev
	$(BIN)/ruff check --fix gearpool tests
	$(BIN)/ruff format gearpool tests

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

# Without root or Debian's apt nothing is installed: the tests that need a missing peer are skipped, and fail in CI.
peers: .peers/.installed

.peers/.installed: Makefile
	@mkdir -p .peers
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    missing=""; for p in $(PEERS_DEB); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	    case "$$missing" in *" npm"*|*" nodejs"*) \
	        if command -v npm >/dev/null && command -v node >/dev/null; then \
	            missing=$$(echo "$$missing" | tr ' ' '\n' | grep -vx -e npm -e nodejs | tr '\n' ' '); fi;; esac; \
	    if [ -n "$$(echo $$missing)" ]; then \
	        apt-get update -qq && \
	        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	    fi; \
	else echo "not root on Debian: foreign peers are not installed, their tests are skipped" >&2; fi
	@if command -v npm >/dev/null; then \
	    npm install --silent --no-audit --no-fund --no-save --prefix .peers $(PEERS_NPM); \
	else echo "no npm: its client is not tested" >&2; fi
	@touch $@

clean:
	rm -rf $(VENV) .peers build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
