# Needs Python 3.11 or newer, make and git. The rest is installed into .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes
PINNED := $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-header
unexport PYTHONDONTWRITEBYTECODE
# An environment that has the packages but is not from make, such as that of a deployment, stays as it is.
RUN := $(if $(wildcard $(BIN)/flask),$(wildcard .venv/run .venv/.made-by-make),new)
RUN := $(if $(RUN),.venv/run)

.DEFAULT_GOAL := help
.PHONY: help demo run doctor caller webhook-secret sandbox mcp test test-all programs torture torture-jobs torture-orders torture-person soak pictures lighthouse lint openapi reference docs audit bench lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/demo ## run one split against the local Suno: prints its JSON, writes its audio to demo/ (DEMO='--wire 2024': the old Suno)
	@$(BIN)/python -m tools.demo $(DEMO)

run: $(RUN) ## run the service with your SUNO_COOKIE on http://127.0.0.1:3000, and the jobs process
	@$(BIN)/python -m app

doctor: $(RUN) ## check that your SUNO_COOKIE works and that Suno's API has not changed: free
	@$(BIN)/python -m tools.doctor

caller: $(RUN) ## create an API key for a client: make caller NAME=n8n
	@LOG_LEVEL=ERROR $(BIN)/flask --app wsgi caller $(NAME)

webhook-secret: $(RUN) ## create a secret for WEBHOOK_SECRET, which signs webhooks
	@LOG_LEVEL=ERROR $(BIN)/flask --app wsgi webhook-secret

sandbox: $(RUN) ## run the service with a local Suno, to try it without spending credits
	@$(BIN)/python -m tools.serve

mcp: .venv/mcp ## run the MCP server: tools for a model, over stdio
	@$(BIN)/python -m clients.mcp

test: lint docs programs ## run checks and tests
	$(BIN)/python -m pytest

test-all: lint docs programs ## the same, with the tests that take long: before a release
	$(BIN)/python -m pytest --long

programs: # Debian packages for tests that are skipped without them, such as a browser
	@sh tests/install-debian-packages.sh

torture: .venv/dev ## cause all failures at once for five minutes, then compare charges with results
	$(BIN)/python -m tests.torture

torture-jobs: .venv/dev ## the same with webhooks and files, for ten minutes
	$(BIN)/python -m tests.torture_jobs

torture-orders: .venv/dev ## two orders of 200 songs at once, with kills and limits that end: half an hour
	$(BIN)/python -m tests.torture_orders

torture-person: .venv/dev ## let persons, callers and kills race in 1,000 runs over both ledgers, for about 25 minutes
	$(BIN)/python -m tests.torture_person

soak: .venv/bench ## load the service for ten minutes, with faults and restarts; plot memory, files, latency, charges
	$(BIN)/python -m bench.soak

pictures: .venv/dev ## take the README's screenshots of the page again (needs chromium and chromedriver)
	@$(BIN)/python -m tests.page.pictures

lighthouse: .venv/dev ## check the page with Lighthouse (needs npm and chromium)
	@$(BIN)/python -m pytest -n0 tests/page/lighthouse.py

lint: .venv/dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

openapi: $(RUN) ## generate openapi.yaml from the code
	$(BIN)/flask --app wsgi spec > openapi.yaml.new && mv openapi.yaml.new openapi.yaml

reference: $(RUN) ## generate docs/settings.md and docs/errors.md from the code
	@$(BIN)/python -m tools.reference

docs: .venv/docs ## build the documentation in site/, and check every link
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file tools/mkdocs.yml

audit: .venv/audit ## check the pinned packages for known vulnerabilities; needs the network
	@$(BIN)/pip-audit --requirement requirements.txt --disable-pip --no-deps --strict

bench: .venv/bench ## measure the service under load (BENCH='--quick': faster, less exact; '--soak': memory too)
	@$(BIN)/python -m bench $(BENCH)

lock: .venv/lock ## pin the newest versions of all dependencies
	$(PINNED) pyproject.toml -o requirements.txt
	$(PINNED) --group dev -c requirements.txt -o tools/requirements/dev.txt
	for group in demo mcp docs bench lock audit; do \
	    $(PINNED) --group $$group -c requirements.txt -c tools/requirements/dev.txt -o tools/requirements/$$group.txt || exit; done

clean: ## remove .venv, demo/, site/ and caches; the ledger and the audio in instance/ stay
	rm -rf .venv demo site .mypy_cache .ruff_cache

.venv/run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, and {sys.executable} is {sys.version}: try make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv && touch .venv/.made-by-make
	$(INSTALL) -r requirements.txt
	@touch $@

# The packages of one group of pyproject.toml.
.venv/%: tools/requirements/%.txt $(RUN)
	$(INSTALL) -r $<
	@touch $@

.venv/bench: .venv/dev
