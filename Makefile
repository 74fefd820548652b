# make run     create .venv, install, and serve config/workers.yaml
# make test    also install what the tests need, including foreign peers where possible, and run all tests
# make check   what CI runs: lint, types, import contracts, generated files, and the tests with the lines they run
# make format  format the code and apply the fixes of ruff
# make debian  as root, once: create a minimal Debian, with which make test boots the systemd unit and runs the image
# make bench   run the benchmarks; each prints its ratio
# make stress  run checks that take too long for a test: 10 000 interruptions of busy handlers
# make chaos   run the tests of kills and outages with 100 kills and outages of a minute
# make matrix  as root: run the tests on Python 3.13 and 3.14, each in a minimal Debian
# make dist    build wheel and sdist into dist/ and check them as a package index would
# make clean   remove everything that the other targets have created
#
# PYTEST="tests/worker -x" passes options to pytest, JOBS=2 runs fewer tests at once, CONFIG=FILE is what make run serves.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CONFIG ?= config/workers.yaml
PYTEST ?=
# Most tests wait for processes and servers, so more of them than cores run at once.
JOBS   ?= 4

# Debian's names. stunnel4: TLS in front of gearmand, which Debian builds without it. iproute2: a black-holed server.
# prometheus: with promtool, which checks the alert rules. chromium and axe-core: the dashboard.
PEERS_DEB := gearman-job-server gearman-tools libgearman-dev libgearman-client-perl php-cli php-gearman stunnel4 \
             iproute2 systemd debootstrap buildah crun gcc libc6-dev nodejs npm zsh fish prometheus chromium curl
PEERS_NPM := gearman@2.1.0 pyright@1.1.414 axe-core@4.14.1

.PHONY: help run test check lint types architecture generated tests bench stress chaos matrix dist peers debian format clean

help:
	@sed -n "/^# make /s/^# //p; /^# PYTEST/s/^# /\n/p" $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.installed
	exec $(BIN)/gearpool -c $(CONFIG)

test: peers tests

check: lint types architecture generated
	rm -rf .coverage
	$(MAKE) test MEASURE=1
	$(BIN)/python -m tests.architecture.coverage_floor

lint: $(VENV)/.dev
	$(BIN)/ruff check gearpool tests
	$(BIN)/ruff format --check gearpool tests

types: $(VENV)/.dev
	$(BIN)/mypy

architecture: $(VENV)/.dev
	$(BIN)/lint-imports

generated: $(VENV)/.dev
	$(BIN)/python -m gearpool.config.reference --check
	$(BIN)/python -m tests.architecture.state_diagrams --check

tests: $(VENV)/.dev
	$(BIN)/$(if $(MEASURE),coverage run,python) -m pytest -n $(JOBS) $(PYTEST)

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks

stress: $(VENV)/.dev
	$(BIN)/python -m tests.stress

chaos: $(VENV)/.dev
	GEARPOOL_KILLS=100 GEARPOOL_OUTAGE_S=60 $(BIN)/python -m pytest tests/chaos --timeout 600 $(PYTEST)

matrix: $(VENV)/.dev
	$(BIN)/python -m tests.matrix -n $(JOBS) $(PYTEST)

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
	rm -rf $(VENV) .peers build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
