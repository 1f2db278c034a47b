SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
OFFICIAL := .official-venv/.ready
MUTANTS := .mutants-venv/.ready
DEPLOY := .deploy-venv/.ready
RECORDERS := $(foreach name,ours langsmith langfuse opik,.recorders/$(name)/.ready)
ADAPTERS := claude-agent-sdk crewai langchain litellm openai-agents
INTEGRATIONS := $(foreach name,$(if $(OLDEST),$(addsuffix -oldest,$(ADAPTERS)),$(ADAPTERS) results),.integrations/$(name)/.ready)
LOGGERS := $(foreach name,mlflow arize-phoenix,.loggers/$(name)/.ready)

# A third of the time of the tests is waiting, so three workers keep two cores busy.
WORKERS ?= 3

# The tests start more than a thousand Python processes. Without bytecode files, each would compile all of its modules.
unexport PYTHONDONTWRITEBYTECODE

# Creates the virtual environment of a target, which is its folder; the argument is what pip installs.
define create_environment
@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
@$(BIN)/uv pip install --quiet --python $(@D)/bin/python $(1)
@touch $@
endef

.PHONY: help setup hooks demo serve generate drift ddl prices lint lint-deploy format types test test-fast test-python test-pythons coverage docs screenshots durability chaos contract mutants interop integrations bench bench-cold-start bench-runs bench-traces bench-outbox bench-server bench-million wheel build constraints clean

help: ## list all targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## create .venv with all dependencies and the command .venv/bin/xpander-report

$(READY): pyproject.toml requirements/dev.txt facade/xpander_sdk/version.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "xpander-report needs Python 3.11 or newer: set PYTHON to its path")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv -c requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c requirements/dev.txt -e '.[all,fast]' --group dev
	@touch $@

hooks: setup ## install the pre-commit hooks
	$(BIN)/pre-commit install

demo: setup ## report runs into a temporary file and show their history and metrics; needs no server and no key
	@$(BIN)/python examples/demo.py

serve: setup ## serve ./xpander.db at http://127.0.0.1:8100
	$(BIN)/xpander-report serve

generate: setup ## rebuild generated/ from openapi/
	$(BIN)/python openapi/generate.py

drift: setup ## fail if generated/ differs from the result of `make generate`
	$(BIN)/python openapi/generate.py --check

ddl: setup ## write the SQL of the tables, for review, into server/xpander_server/store/schema/ddl
	@PYTHONPATH=tests $(BIN)/python tests/store/ddl.py

prices: setup ## write the table of prices of the installed genai-prices
	@PYTHONPATH=tests $(BIN)/python tests/store/price_table.py

lint: setup ## run ruff, validate the OpenAPI description, check the import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/openapi-spec-validator openapi/task-report.yaml
	$(BIN)/lint-imports --no-cache

lint-deploy: $(DEPLOY) ## lint the Dockerfile, the Compose file, the Kubernetes manifests and the systemd units of deploy/
	.deploy-venv/bin/hadolint deploy/docker/Dockerfile
	.deploy-venv/bin/python -c 'from pathlib import Path; from compose_spec import PyCompose; PyCompose.from_yaml(Path("deploy/docker/compose.yaml").read_text())'
	.deploy-venv/bin/kubernetes-validate --strict --quiet deploy/kubernetes/xpander-report.yaml
	@if command -v systemd-analyze > /dev/null; then .ci/lint-systemd; else echo 'systemd-analyze is not installed: the systemd units are not checked'; fi

$(DEPLOY): requirements/deploy.txt | $(READY)
	$(call create_environment,-r $<)

format: setup ## format the code and apply the fixes of ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## run mypy --strict and pyright
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/pyright

test: setup ## run all tests except those of `make interop`, `make integrations` and `make contract`, in WORKERS=3 processes
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not official and not integration" tests

test-fast: setup ## run the tests that are not marked slow: at most 3 minutes on 2 cores
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not official and not integration and not slow" tests

test-python: ## run the tests with Debian's Python: 3.13 or, with PYTHON_ROOT=sid, 3.14; FAST=1 runs `make test-fast` (see .ci/python-root)
	@.ci/python-root $(or $(PYTHON_ROOT),trixie) make $(if $(FAST),test-fast,test)

test-pythons: ## run all tests with Python 3.13 and 3.14
	@$(MAKE) --no-print-directory test-python PYTHON_ROOT=trixie
	@$(MAKE) --no-print-directory test-python PYTHON_ROOT=sid

coverage: setup ## run the tests and report the covered lines in build/coverage; subprocesses are not measured
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not official and not integration" --cov --cov-report=term --cov-report=html tests

docs: setup ## build the documentation site into build/docs; a warning is an error
	$(BIN)/sphinx-build --quiet --nitpicky --fail-on-warning --keep-going --builder html --doctree-dir build/doctrees docs build/docs

durability: setup ## kill programs 1,000 times at each durability level of the outbox; takes about 15 minutes
	PYTHONPATH=tests $(BIN)/python tests/outbox/programs/kill_writers.py --kills 1000
	PYTHONPATH=tests $(BIN)/python tests/outbox/programs/kill_writers.py --kills 1000 --durability power

chaos: setup ## kill, freeze and cut off servers, PostgreSQL and disks under load; takes about 20 minutes (SCENARIOS=… selects some)
	PYTHONPATH=tests $(BIN)/python tests/server/chaos_test.py $(SCENARIOS)
	@test -n "$(SCENARIOS)" || PYTHONPATH=tests $(BIN)/python tests/server/attack_test.py

screenshots: setup ## take the pictures of the web pages for docs/; needs a browser and the corpus
	@cd tests && ../$(BIN)/python -m browser.screenshots

bench-million: setup ## measure all views of a million tasks on SQLite and PostgreSQL (TASKS=N, FOLDER=DIR keeps the stores); takes half an hour
	@$(BIN)/python -m benchmarks.million $(if $(TASKS),--tasks $(TASKS)) $(if $(FOLDER),--folder $(FOLDER))

mutants: setup $(MUTANTS) ## measure whether unit tests notice small changes of the pure modules; takes hours (MODULES="policy tokens" selects some, SAMPLE=40 tests 40 changes of each)
	PYTHONPATH=tests $(BIN)/python tests/mutation/mutants.py $(if $(SAMPLE),--sample $(SAMPLE)) $(MODULES)

$(MUTANTS): requirements/mutants.txt | $(READY)
	$(call create_environment,-r $<)

contract: setup ## fuzz a running server with schemathesis
	$(BIN)/python tests/contract/fuzz.py

interop: setup $(OFFICIAL) ## test our server with the official SDK, and compare both SDKs on the wire
	$(BIN)/pytest -m official tests/interop

$(OFFICIAL): requirements/interop.txt | $(READY)
	$(call create_environment,-r $<)

integrations: setup ## test the adapters of agent frameworks, each in an environment of its framework (OLDEST=1: the oldest versions)
	@$(MAKE) --no-print-directory -j 4 $(INTEGRATIONS)
	$(if $(OLDEST),OLDEST=1 )$(BIN)/pytest -n 2 --dist loadscope -m integration tests/integrations

.integrations/results/.ready: requirements/framework-results.txt pyproject.toml | $(READY)
	$(call create_environment,-r $< -e .)

.integrations/%/.ready: requirements/integrations-%.txt pyproject.toml | $(READY)
	$(call create_environment,-r $< -e .)

bench: setup $(OFFICIAL) ## compare our client with the official SDK, httpx and aiohttp; updates docs/benchmarks.md (QUICK=1: prints only)
	@$(BIN)/python -m benchmarks.client $(if $(QUICK),--quick)

bench-runs: setup ## measure how much Backend.run adds to its reports, and a run that is off (QUICK=1: fewer repetitions)
	@$(BIN)/python -m benchmarks.runs $(if $(QUICK),--quick)

bench-cold-start: setup ## measure the CPU time of the first report of a process into a SQLite file (QUICK=1: fewer processes)
	@$(BIN)/python -m benchmarks.cold_start $(if $(QUICK),--quick)

bench-traces: setup ## measure the CPU time of traces in the server, and the rate of a server with two workers
	@$(BIN)/python -m benchmarks.traces

bench-outbox: setup $(RECORDERS) ## compare our outbox with langsmith, langfuse and opik; updates docs/benchmarks.md (QUICK=1: prints only)
	@$(BIN)/python -m benchmarks.outbox $(if $(QUICK),--quick)

.recorders/ours/.ready: requirements/dev.txt pyproject.toml | $(READY)
	$(call create_environment,-c $< -e '.[fast]')

.recorders/%/.ready: requirements/bench-outbox.txt | $(READY)
	$(call create_environment,-c $< $*)

.loggers/%/.ready: requirements/bench-server.txt | $(READY)
	$(call create_environment,-c $< $*)

bench-server: setup $(LOGGERS) ## compare our server with MLflow and Phoenix, and measure it with many tasks; updates docs/benchmarks.md (QUICK=1: prints only)
	@$(BIN)/python -m benchmarks.server $(if $(QUICK),--quick)

wheel: build ## install the wheel into a clean environment, check its size, and report to a server with it
	$(BIN)/python tests/wheel.py dist

build: setup ## build the wheel and the sdist into dist/
	@rm -rf dist
	$(BIN)/python -m build --quiet --installer uv --outdir dist .

constraints: ## update requirements/dev.txt from pyproject.toml; versions that still fit stay (UPGRADE=1: newest versions)
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links --universal --python-version 3.11 \
		$(if $(UPGRADE),--upgrade) --extra all --extra fast --group dev pyproject.toml -o requirements/dev.txt
	@sed -i '1i # Versions of everything that `make setup` installs; written by `make constraints`.' requirements/dev.txt
	@echo "uv==$$($(BIN)/uv --version | cut -d' ' -f2)" >> requirements/dev.txt

clean: ## remove the files that the other targets create
	@test ! -e .python-roots || .ci/python-root --remove
	rm -rf .venv .*-venv .recorders .loggers .integrations build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis
