# Everything a person or CI runs. `make help` lists it.
# The first that runs and is one of the two versions that every dependency has wheels for.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null \
  && echo $$p && break; done)
endif
# Asked only when no index that pip is configured with has the CPU build of PyTorch.
export TORCH_INDEX_URL ?= https://download.pytorch.org/whl/cpu
BIN := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install up down test check bench drill lock

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|' 2>/dev/null || grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST)

install: ## Make .venv and install the locked versions
	@test -n "$(PYTHON)" || { \
	  echo "No Python 3.11 or 3.12 found: sudo apt-get install python3 python3-venv"; exit 1; }
	@"$(PYTHON)" cluster/requirements/install.py

up: install ## Install, start everything, ingest the sample corpus, answer one question
	@$(BIN)/everloop up --sample

down: ## Stop everything that `make up` started
	@if [ -x $(BIN)/everloop ]; then $(BIN)/everloop down; else echo "Nothing is installed."; fi

test: install ## Run the tests: units beside what starts real parts, then end to end (ARGS="-k name")
	@export DO_NOT_TRACK=1 RAY_USAGE_STATS_ENABLED=0; failed=0; \
	run() { "$$@" || { code=$$?; [ $$code -eq 5 ] || failed=$$code; }; }; \
	run env OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --no-loadscope-reorder \
	  -m "not (slow or end_to_end)" $(ARGS); \
	run $(BIN)/python -m pytest -m "end_to_end and not slow" $(ARGS); \
	exit $$failed

check: install ## Format, lint, types, documentation, known faults of packages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m tests.check_docs
	@$(BIN)/python -m cluster.requirements.audit

bench: install ## Run every benchmark; results as JSON in tests/benchmarks/results
	@$(BIN)/python -m tests.benchmarks $(ARGS)

drill: install ## Break a running system on purpose, and look for what it had acknowledged
	@$(BIN)/python -m tests.drills $(ARGS)

lock: install ## Write the versions of .venv to the lock
	@$(BIN)/python -m cluster.requirements.lock
