# The same short commands on a laptop and in CI. Needs Python 3.11 or later, and nothing running.

.POSIX:
.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-slow fault matrix next scale smoke bench lint format docs clean

BIN := .venv/bin
DEV := .venv/.installed-dev
DEMO := .venv/.installed-demo
BENCH := .venv/.installed-bench
BATCHES := .venv-batches
SOURCES := bridge sse_bridge sse_bridge_pytest reference tests examples benchmarks
# Real processes, which mostly wait: many tests at a time. tests/smoke, tests/fault and tests/scale have their own targets.
WAITING := tests/contract tests/docs tests/integration tests/acceptance
MANY := --numprocesses 6 --dist worksteal
# A file in one process each: what its tests share is started once. The longest begin first, see tests/conftest.py.
FILES := --numprocesses 10 --dist loadfile --no-loadscope-reorder

help:  ## Show this list.
	@grep -E '^[a-z-]+: .*##' Makefile | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done

demo: $(DEMO)  ## Start everything and watch a bank statement being imported, live in a browser.
	@trap : INT; PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sse-bridge demo || [ $$? -eq 130 ]

# Both lines run, whatever the first found: who fixes a fault wants to hear of them all.
test: $(DEV)  ## Run every suite but smoke and fault: unit, contract, integration, acceptance, docs.
	@failed=; \
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses 2 tests/unit $(PYTEST_ARGS) || failed=yes; \
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(FILES) $(WAITING) $(PYTEST_ARGS) || failed=yes; \
	[ -z "$$failed" ]

test-unit: $(DEV)  ## Run the unit tests only; seconds.
	$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

test-slow: $(DEV)  ## Run every combination of what `make test` samples, and long stories: the tests marked slow.
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m slow $(MANY) $(WAITING) $(PYTEST_ARGS)

fault: $(DEV)  ## Break things under load and see that nothing is lost; FAULT_SCALE=16.7 for 100,000 events and 200 kills.
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -s tests/fault $(PYTEST_ARGS)

matrix: $(DEV)  ## Run producers beside older Celery, kombu and redis-py, each in an environment of its own.
	@.ci/matrix
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses 3 tests/matrix $(PYTEST_ARGS)

scale: $(DEV)  ## Group, list and replay 100,000 dead letters, against the clock.
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -s tests/scale $(PYTEST_ARGS)

smoke: $(DEV)  ## Run the Docker cluster suite: Redis and RabbitMQ as brokers, the worker from our image.
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest tests/smoke $(PYTEST_ARGS)

bench: $(BENCH)  ## Measure the bridge beside its peers, over an hour; BENCH_ARGS=--quick for minutes.
	PATH="$(CURDIR)/$(BIN):$$PATH" BENCH_BATCHES_PYTHON="$(CURDIR)/$(BATCHES)/bin/python" \
		$(BIN)/python -m benchmarks $(BENCH_ARGS)

next: $(DEV)  ## Try the newest celery and kombu, pre-releases too; reports, and never fails.
	@.ci/next

lint: $(DEV)  ## Check style, types and the direction of imports.
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)  ## Format the code and fix what can be fixed.
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

docs: $(DEV)  ## Write docs/events.md, docs/settings.md and docs/api/ anew from the code.
	$(BIN)/sse-bridge registry --format markdown > docs/events.md.new
	mv docs/events.md.new docs/events.md
	$(BIN)/sse-bridge settings --format markdown > docs/settings.md.new
	mv docs/settings.md.new docs/settings.md
	$(BIN)/python -m reference

clean:  ## Remove the environment and everything that can be made again.
	rm -rf .venv .venv-matrix $(BATCHES) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEV): pyproject.toml constraints.txt
	@.ci/install dev
	@touch $(DEV) $(DEMO)

$(DEMO): pyproject.toml constraints.txt
	@.ci/install worker,gateway,embedded
	@touch $(DEMO)

# celery-batches needs a Celery older than the bridge's, and so an environment of its own.
$(BENCH): pyproject.toml constraints.txt benchmarks/celery-batches.txt
	@.ci/install bench
	@[ -x $(BATCHES)/bin/python ] || $(BIN)/python -m venv $(BATCHES)
	@$(BATCHES)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/celery-batches.txt
	@touch $(BENCH)
