# make run and make test need Python 3.12 or newer and make, nothing else.
# No defaults of the platform live here: settings.py has them, so that manage.py sees the same data.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

VENV := .venv
PYTHON := $(VENV)/bin/python
READY_TO_RUN := $(VENV)/.ready-to-run
READY_TO_TEST := $(VENV)/.ready-to-test
PIP_INSTALL := $(PYTHON) -m pip install --quiet --quiet --disable-pip-version-check --require-hashes
# Hashes of every file of a release, so that one lock installs on each Python and each machine.
PIP_COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(PYTHON) -m piptools compile --quiet \
	--generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count() or 1)' 2>/dev/null)
WITH_SERVERS := $(PYTHON) -m tests.servers --
EMBEDDED := $(PYTHON) -m tests.servers --embedded --
# So many processes, each with a database and a Redis of its own.
IN_PARALLEL = $(PYTHON) -m tests.servers --workers $(WORKERS) -- \
	$(PYTHON) -m pytest -p tests.workers --numprocesses $(WORKERS) --dist worksteal
# To watch each line makes a test take twice as long: not those that ask everything many times over.
SWEEPS := $(patsubst %,tests/test_%.py,climbing console_forms walls documents forgeries schemathesis \
	conventions openapi_changes large_set supply)
COVERED := --cov --cov-report=
COVERED_COMPLETELY := */services.py,*/services/*,*/models.py,*/models/*,*/errors.py,ops/api/*,ops/realtime/*,ops/diagnosis/*,ops/monitoring/*
# What some of it does in processes of its own is tried there, where no line is watched.
COVERED_NEARLY := ops/backups/*,ops/safe_migrate/*
NEARLY := 97
COVERED_IN_ALL := 80

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- The environment ---------------------------------------------------------------------------
# A stamp is written last: an install that broke off leaves none, or one older than its list.
# A name on PATH proves nothing (pyenv answers to versions it does not have), so each is started.
# When the Python of an environment has left the machine, its stamps are worth nothing either.
$(shell test -x $(PYTHON) || rm -f $(READY_TO_RUN) $(READY_TO_TEST))

$(PYTHON):
	@for python in python3.14 python3.13 python3.12 python3; do \
		if "$$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
			echo "Creating $(VENV) with $$("$$python" --version) ..."; \
			exec "$$python" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "Python 3.12 or newer is wanted (python3.14, 3.13, 3.12 or python3 on PATH), with venv." >&2; \
	exit 1

$(READY_TO_RUN): requirements.txt $(PYTHON)
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m ensurepip >/dev/null
	@echo "Installing requirements.txt into $(VENV) (about a minute the first time) ..."
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(READY_TO_TEST): requirements-dev.txt $(READY_TO_RUN)
	@echo "Installing requirements-dev.txt into $(VENV) (less than a minute the first time) ..."
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

# --- Running -----------------------------------------------------------------------------------
# exec: the server is make's own child; a SIGTERM to make reaches it without a shell between.
.PHONY: run
run: $(READY_TO_RUN) ## Serve the platform on http://127.0.0.1:8000 (HOST, PORT, DATA_DIR, ...)
	@exec $(PYTHON) manage.py serve

# --- Tests -------------------------------------------------------------------------------------
.PHONY: test
ifdef T
test: $(READY_TO_TEST) ## Run all tests, in parallel on servers of their own; T=path: only these
	@$(IN_PARALLEL) $(T)
else
test: $(READY_TO_TEST)
	@rm -f .coverage
	@$(IN_PARALLEL) $(COVERED) $(SWEEPS:%=--ignore=%)
	@echo "Every page and every operation, many times over:"
	@$(IN_PARALLEL) $(SWEEPS)
	@echo "The story once more, on SQLite and in memory:"
	@$(EMBEDDED) $(PYTHON) -m pytest -m story --numprocesses $(WORKERS) $(COVERED) --cov-append
	@echo "Branch coverage of services, models and errors, which is complete:"
	@$(PYTHON) -m coverage report --fail-under=100 --include='$(COVERED_COMPLETELY)'
	@echo "Branch coverage of backups and safe migrations, of which a part runs in other processes:"
	@$(PYTHON) -m coverage report --fail-under=$(NEARLY) --include='$(COVERED_NEARLY)' --format=total
	@echo "Branch coverage in all:"
	@$(PYTHON) -m coverage report --fail-under=$(COVERED_IN_ALL) --format=total
endif

# --- Benchmarks --------------------------------------------------------------------------------
# On a machine that does nothing else; what is measured and how is in docs/performance.md.
.PHONY: bench
bench: $(READY_TO_TEST) ## Measure the platform beside a peer by hand (less than ten minutes)
	@$(PYTHON) -m bench

.PHONY: bench-full
bench-full: $(READY_TO_TEST) ## The same with the long ones: 5,000 sockets, SQLite, 4 processes
	@$(PYTHON) -m bench --full --rounds 5 --seconds 6

.PHONY: bench-chart
bench-chart: $(READY_TO_TEST) ## Draw docs/performance.svg from RESULT=bench/results/NAME.json
	@$(PYTHON) -m bench.chart $(RESULT) docs/performance.svg

.PHONY: bench-integrity
bench-integrity: $(READY_TO_TEST) ## Measure check_integrity on 100,000 draws of a PostgreSQL of its own
	@$(PYTHON) -m bench.integrity

.PHONY: bench-jobs
bench-jobs: $(READY_TO_TEST) ## Kill workers while 200 runs of jobs are due (about six minutes)
	@$(PYTHON) -m bench.jobs

.PHONY: bench-alerts
bench-alerts: $(READY_TO_TEST) ## Plant a fault for each alert rule, and measure until somebody is told
	@$(PYTHON) -m bench.alerts $(RULES)

.PHONY: bench-guesses
bench-guesses: $(READY_TO_TEST) ## Guess a million times at sign-in codes (about an hour)
	@$(PYTHON) -m bench.guesses

.PHONY: bench-data
bench-data: $(READY_TO_TEST) ## Fill an empty PostgreSQL with the large set (DATABASE, PEOPLE)
	@$(PYTHON) -m bench.data $(if $(DATABASE),--database $(DATABASE)) $(if $(PEOPLE),--people $(PEOPLE))

.PHONY: bench-lists
bench-lists: $(READY_TO_TEST) ## Measure lists, details and changes on the large set (DATABASE)
	@$(PYTHON) -m bench.lists $(if $(DATABASE),--database $(DATABASE)) --explain

.PHONY: drill
drill: $(READY_TO_TEST) ## Let go wrong what can, and see what holds (at most 15 minutes); T=name: only that
	@$(PYTHON) -m bench.drills $(T)

.PHONY: bench-overhead
bench-overhead: $(READY_TO_TEST) ## Measure what metrics, logs and alerts cost an empty endpoint and a draw (CPU)
	@$(PYTHON) -m bench.overhead

# --- Static checks -----------------------------------------------------------------------------
.PHONY: check
check: lint types imports check-migrations check-migration-risk check-deploy check-messages check-openapi ## Run all static checks

.PHONY: lint
lint: $(READY_TO_TEST) ## Look for mistakes and bad form (ruff)
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

.PHONY: format
format: $(READY_TO_TEST) ## Put the code into form (ruff)
	@$(PYTHON) -m ruff check --fix-only .
	@$(PYTHON) -m ruff format .

.PHONY: types
types: $(READY_TO_TEST) ## Check types (mypy)
	@$(EMBEDDED) $(PYTHON) -m mypy

.PHONY: imports
imports: $(READY_TO_TEST) ## Check which module imports which (import-linter)
	@$(VENV)/bin/lint-imports --no-logo

.PHONY: check-migrations
check-migrations: $(READY_TO_TEST) ## Fail if a model changed without a migration
	@$(EMBEDDED) $(PYTHON) manage.py makemigrations --check --dry-run

# On PostgreSQL, where locks differ. When a release is made: the same with --record.
.PHONY: check-migration-risk
check-migration-risk: $(READY_TO_TEST) ## Fail for a migration since the last release of high risk that says no why
	@$(WITH_SERVERS) $(PYTHON) -m tests.migration_risk

# The values of a production set-up, made up on the spot; nothing is connected to.
.PHONY: check-deploy
check-deploy: $(READY_TO_TEST) ## Run Django's deployment checks with production settings
	@$(WITH_SERVERS) env DEBUG=0 \
		SECRET_KEY="$$(od -An -N48 -tx1 /dev/urandom | tr -d ' \n')" \
		HASH_KEYS="$$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" \
		TOKEN_KEYS="$$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" \
		FIELD_ENCRYPTION_KEYS="$$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" \
		SEAL_KEYS="$$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" \
		ALLOWED_HOSTS=shop.example \
		TRUSTED_PROXIES=1 \
		SMS_SENDER=accounts.sms.NoSender \
		SMS_FIXED_CODE= \
		$(PYTHON) manage.py check --deploy --fail-level WARNING

# Of .ci/run, not of `make check`: it asks the network.
.PHONY: check-supply
check-supply: $(READY_TO_TEST) ## Ask whether a locked dependency has a known vulnerability (pip-audit)
	@$(PYTHON) .ci/audit.py

# --- Clients ----------------------------------------------------------------------------------
# From npm and PyPI, into a folder that is gone afterwards; needs node 20 or newer, and npm.
.PHONY: check-clients
check-clients: $(READY_TO_TEST) ## Generate clients from docs/openapi.yaml, check and run them (needs npm)
	@$(EMBEDDED) $(PYTHON) -m tests.clients

# --- Generated files that are committed ---------------------------------------------------------
.PHONY: messages
messages: $(READY_TO_TEST) ## Collect the texts to translate into locale/ (needs gettext)
	@for domain in django djangojs; do \
		$(EMBEDDED) $(PYTHON) manage.py makemessages --all --domain=$$domain --no-wrap --no-obsolete \
			--add-location=file --ignore='$(VENV)' --ignore=data --ignore=staticfiles \
			--ignore=tests || exit 1; \
	done

.PHONY: compilemessages
compilemessages: $(READY_TO_TEST) ## Compile the translations; commit the .mo files (needs gettext)
	@$(EMBEDDED) $(PYTHON) manage.py compilemessages --ignore='$(VENV)' --ignore=data

# .mo files are committed because make run must not need gettext.
.PHONY: check-messages
check-messages: ## Fail if a compiled translation is older than its source (needs gettext)
	@find . -path './$(VENV)' -prune -o -path ./data -prune -o -name '*.po' -print | \
	while read -r source; do \
		msgfmt --check-format --output-file=- "$$source" | cmp - "$${source%.po}.mo" || \
			{ echo "$$source: run make compilemessages and commit the result." >&2; exit 1; }; \
	done

.PHONY: openapi
openapi: $(READY_TO_TEST) ## Write the API's schema to docs/openapi.yaml; commit the result
	@$(EMBEDDED) $(PYTHON) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

.PHONY: schema
schema: $(READY_TO_TEST) ## Keep what the migrations make, for diagnose_db; commit the result
	@for with in "--embedded" ""; do $(PYTHON) -m tests.servers $$with -- sh -c \
		'$(PYTHON) manage.py migrate -v0 && $(PYTHON) manage.py diagnose_db --record' || exit 1; done

# Clients in the field call the API as it was: it may gain, and change in no other way.
.PHONY: check-openapi
check-openapi: $(READY_TO_TEST) ## Fail if docs/openapi.yaml is not the server's, or changed other than by addition
	@$(EMBEDDED) sh -c '$(PYTHON) manage.py spectacular --validate --fail-on-warn \
		--file "$$DATA_DIR/openapi.yaml" && cmp docs/openapi.yaml "$$DATA_DIR/openapi.yaml"' || \
		{ echo "docs/openapi.yaml is not the server's: run make openapi and commit it." >&2; exit 1; }
	@$(PYTHON) -m tests.openapi_changes

.PHONY: lock
# requirements.txt is a constraint of the other, and a constraint has no extras; in the other they
# stay, since pip wants a hash for `coverage[toml]` by this very name.
lock: $(READY_TO_TEST) ## Pin all dependencies anew, with hashes, from the .in files
	@$(PIP_COMPILE) --strip-extras --output-file=requirements.txt requirements.in
	@$(PIP_COMPILE) --strip-extras --output-file=requirements-sms.txt requirements-sms.in
	@$(PIP_COMPILE) --no-strip-extras --output-file=requirements-dev.txt requirements-dev.in

.PHONY: clean
clean: ## Remove the environment and all caches; data/ stays
	@rm -rf $(VENV) .coverage htmlcov .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -path ./data -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +
