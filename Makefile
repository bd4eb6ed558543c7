# Every target is one line that calls a script or docker compose; `make` alone prints what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv

# The lock files name everything that is needed, so pip has nothing to resolve. It must not try: pip before 23.3 takes an extra
# (coverage[toml]) apart from its pin and then finds whatever was released since.
PIP_INSTALL := pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r

# An environment that is there keeps its own pip: `python3 -m venv .venv && .venv/bin/pip install pip==…` before the first target.
MAKE_VENV = $(1)/bin/python -m pip --version >/dev/null 2>&1 || "$$PYTHON" -m venv $(1)

# What a person types after `make target` reaches the scripts through the environment, unexpanded by make and unsplit by the shell,
# so that spaces, quotes and dollar signs in a value are only text.
TYPED := $(foreach name,$(.VARIABLES),$(if $(filter command line,$(origin $(name))),$(name)))
$(foreach name,$(TYPED),$(eval override $(name) := $$(value $(name))))
override CONFIG := $(value CONFIG)
# Some systems have a NAME of their own in every environment, the computer's; a project's name is typed.
override NAME := $(if $(filter environment,$(origin NAME)),,$(value NAME))
override LABELS := $(value LABELS)
override TYPE := $(value TYPE)
override FILE := $(value FILE)
override DATASET := $(value DATASET)
override ARGS := $(value ARGS)
override PYTHON := $(value PYTHON)
override VENV := $(value VENV)
ifneq ($(words $(VENV)),1)
$(error VENV must name one folder, without blanks)
endif
export CONFIG NAME LABELS TYPE FILE DATASET ARGS PYTHON VENV $(TYPED)
RUN := "$$VENV"/bin/python scripts
DEV := PYTHONPATH=scripts "$$VENV"/bin/python -m dev

# A script finds the words of ARGS itself where its command line says @ARGS, split as a shell splits them, and runs nothing.
# pytest takes them from a variable of its own.
PYTEST := PYTEST_ADDOPTS="$$ARGS" "$$VENV"/bin/python -m pytest

# A mistyped variable would be passed over without a word: `make verify DATSET=other` would verify this folder's dataset.
VARIABLES := CONFIG NAME LABELS TYPE FILE DATASET ARGS PYTHON VENV SHELL TEST_PROCESSES RESET CONFIRM WAIT OTHER_VERSION COMPOSE_PROJECT_NAME \
	CVAT_URL CVAT_USERNAME CVAT_PASSWORD CVAT_ACCESS_TOKEN CVAT_ORGANIZATION CVAT_PROJECT_ID CVAT_TOKEN_FILE CVAT_SETTINGS_FILE \
	CVAT_ANSWER_TIMEOUT CVAT_ATTEMPTS CVAT_RETRY_WAIT CVAT_PORT CVAT_BIND CVAT_VERSION CVAT_HOSTS CVAT_SIGN_UP CVAT_WORKERS CVAT_KUBERNETES \
	CVAT_SUPERUSER_USERNAME CVAT_SUPERUSER_EMAIL CVAT_SUPERUSER_PASSWORD CVAT_POSTGRES_PASSWORD CVAT_VOLUMES \
	CVAT_DB_MEMORY CVAT_SERVER_MEMORY CVAT_WORKER_MEMORY CVAT_SERVER_IMAGE CVAT_UI_IMAGE CVAT_DB_IMAGE CVAT_REDIS_INMEM_IMAGE \
	CVAT_REDIS_ONDISK_IMAGE CVAT_OPA_IMAGE BROWSER TMPDIR HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy \
	REQUESTS_CA_BUNDLE SSL_CERT_FILE XDG_STATE_HOME GITHUB_STEP_SUMMARY FUZZ SWEEPS \
	CVAT_REPLACED_VOLUMES CVAT_SETTINGS_OF CVAT_UPGRADE_TO TEST_CVAT_REQUIRED TUTORIAL_SCREENSHOTS DOCKER_% PIP_% UV_% PYTEST_%
UNKNOWN := $(filter-out $(VARIABLES),$(TYPED))
ifneq ($(UNKNOWN),)
$(error $(firstword $(UNKNOWN)) is no variable of these targets$(shell '$(subst ','\'',$(PYTHON))' -c 'import difflib, sys; \
	word, *known = sys.argv[1:]; near = difflib.get_close_matches(word.upper(), known, 1); \
	print(*(f" (did you mean {name}?)" for name in near))' '$(subst ','\'',$(firstword $(UNKNOWN)))' $(subst %,,$(VARIABLES)) 2>/dev/null): make alone shows what there is)
endif

##@ Start here

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "; print "Usage: make <target> [VARIABLE=value …]"} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z][a-z-]*:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.runtime ## Create .venv with the locked requirements (the other targets do it for you).

$(VENV)/.runtime: requirements.txt
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "error: Python 3.11 or newer is needed, found $$("$$PYTHON" --version 2>/dev/null || echo "none as '$$PYTHON'"); install it or name it: make PYTHON=python3.12 …" >&2; exit 2; }
	@"$$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "error: $$PYTHON lacks its venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@echo "Setting up $$VENV (once, and again when requirements change) …" >&2
	@$(call MAKE_VENV,"$$VENV")
	@"$$VENV"/bin/python -m $(PIP_INSTALL) requirements.txt
	@touch "$@"

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@echo "Adding what the tests need to $$VENV …" >&2
	@"$$VENV"/bin/python -m $(PIP_INSTALL) requirements-dev.txt
	@touch "$@"

$(VENV)/.notebooks: requirements-notebooks.txt $(VENV)/.runtime
	@echo "Adding the notebooks' kernel to $$VENV …" >&2
	@"$$VENV"/bin/python -m $(PIP_INSTALL) requirements-notebooks.txt
	@touch "$@"

$(VENV)/.distributed: requirements-distributed.txt $(VENV)/.runtime
	@echo "Adding what a Dask cluster needs to $$VENV …" >&2
	@"$$VENV"/bin/python -m $(PIP_INSTALL) requirements-distributed.txt
	@touch "$@"

.PHONY: storage
storage: $(VENV)/.storage ## Add what shards and addresses such as s3://bucket/dataset need.

$(VENV)/.storage: requirements-storage.txt $(VENV)/.runtime
	@echo "Adding what shards and object storage need to $$VENV …" >&2
	@"$$VENV"/bin/python -m $(PIP_INSTALL) requirements-storage.txt
	@touch "$@"

.PHONY: demo
demo: $(VENV)/.runtime ## Go the whole way once, images to dataset, with a stand-in server: no Docker needed.
	@$(RUN)/run_demo.py @ARGS

##@ Daily work

WITH_CONFIG = $(if $(CONFIG),--config="$$CONFIG")

.PHONY: project
project: $(VENV)/.runtime ## Make a project: NAME=flowers LABELS="daisy rose" [TYPE=detection].
	@$(RUN)/create_project.py $(WITH_CONFIG) --name="$$NAME" --labels="$$LABELS" $(if $(TYPE),--type="$$TYPE") @ARGS

.PHONY: import
import: $(VENV)/.runtime ## Put a folder of images into CVAT: [CONFIG=configuration.json] [ARGS=--tags-from-folders].
	@$(RUN)/import_images.py $(WITH_CONFIG) @ARGS

.PHONY: open
open: $(VENV)/.runtime ## Open the newest task in the browser, or print its address: [CONFIG=configuration.json].
	@$(RUN)/open_task.py $(WITH_CONFIG) @ARGS

.PHONY: export
export: $(VENV)/.runtime ## Take the labelled dataset out of CVAT as a zip: [CONFIG=configuration.json].
	@$(RUN)/export_dataset.py $(WITH_CONFIG) @ARGS

.PHONY: convert
convert: $(VENV)/.runtime $(if $(findstring --scheduler,$(ARGS)),$(VENV)/.distributed) ## Make training/, validation/ and labels.json of the zip: [CONFIG=configuration.json] [ARGS=--dry-run].
	@$(RUN)/convert_dataset.py $(WITH_CONFIG) @ARGS

.PHONY: verify
verify: $(VENV)/.runtime ## Compare a dataset with its manifest: [DATASET=folder], else the folder of configuration.json.
	@$(RUN)/verify_dataset.py $(if $(DATASET),--dataset-dir="$$DATASET",$(WITH_CONFIG)) @ARGS

.PHONY: report
report: $(VENV)/.runtime ## Show a dataset or a detection export as report.html: [DATASET=folder or zip] [CONFIG=configuration.json].
	@$(RUN)/report_dataset.py $(if $(DATASET),--dataset-dir="$$DATASET",$(WITH_CONFIG)) @ARGS

.PHONY: notebooks
notebooks: $(VENV)/.notebooks ## Get ready for the tutorials' notebooks, and say how to open them.
	@$(RUN)/list_notebooks.py @ARGS

##@ CVAT server

# ARGS belongs to the second script of two; what it says about waiting for another command concerns the first as well.
WAITING = $(if $(filter --wait,$(ARGS)),WAIT=1 )

# Settings on the command line (CVAT_PORT=8081, CVAT_VERSION=…, RESET=1, CONFIRM=…) reach the scripts through the environment.
.PHONY: up
up: $(VENV)/.runtime ## Start CVAT on this machine and wait until it can be used: [CVAT_PORT=8080].
	@$(RUN)/up_cvat.py @ARGS

.PHONY: superuser
superuser: $(VENV)/.runtime ## Make the administrator: [RESET=1] sets the password of an existing one.
	@$(RUN)/create_superuser.py @ARGS

.PHONY: token
token: $(VENV)/.runtime ## Make an access token that the other targets use in a password's place.
	@$(RUN)/create_token.py @ARGS

.PHONY: status
status: $(VENV)/.runtime ## Show services, health, versions, response times, disk and memory.
	@$(RUN)/show_status.py @ARGS

.PHONY: doctor
doctor: $(VENV)/.runtime ## Check everything that is needed, and say what to do about what is missing.
	@$(RUN)/doctor.py $(WITH_CONFIG) @ARGS

.PHONY: logs
logs: $(VENV)/.runtime ## Follow the logs: [ARGS=cvat_server].
	@$(RUN)/run_compose.py -- logs --follow --tail 100 @ARGS

.PHONY: stop
stop: $(VENV)/.runtime ## Stop CVAT; everything is kept.
	@$(RUN)/run_compose.py -- stop @ARGS

.PHONY: start
start: $(VENV)/.runtime ## Start CVAT again after stop.
	@$(WAITING)$(RUN)/run_compose.py -- start
	@$(RUN)/wait_ready.py @ARGS

.PHONY: restart
restart: $(VENV)/.runtime ## Stop and start CVAT.
	@$(WAITING)$(RUN)/run_compose.py -- restart
	@$(RUN)/wait_ready.py @ARGS

.PHONY: down
down: $(VENV)/.runtime ## Remove the containers; the data stay.
	@$(RUN)/run_compose.py -- down @ARGS

.PHONY: destroy
destroy: $(VENV)/.runtime ## Remove CVAT with all its data; asks for the project's name.
	@$(RUN)/destroy_cvat.py @ARGS

.PHONY: pull
pull: $(VENV)/.runtime ## Get the images without starting anything.
	@$(RUN)/run_compose.py -- pull @ARGS

.PHONY: backup
backup: $(VENV)/.runtime ## Write everything CVAT holds into one file in backups/: [FILE=…].
	@$(RUN)/backup_cvat.py @ARGS

.PHONY: restore
restore: $(VENV)/.runtime ## Bring a backup back: FILE=…; asks for the project's name where data would be replaced.
	@$(RUN)/restore_cvat.py @ARGS

.PHONY: prune
prune: $(VENV)/.runtime ## Remove the volumes that restores have replaced.
	@$(RUN)/prune_volumes.py @ARGS

.PHONY: backup-verify
backup-verify: $(VENV)/.runtime ## Prove that a backup can be restored, in a throw-away CVAT: FILE=….
	@$(RUN)/verify_backup.py @ARGS

.PHONY: upgrade
upgrade: $(VENV)/.runtime ## Move to another version of CVAT, or back if it does not come up: CVAT_VERSION=….
	@$(RUN)/upgrade_cvat.py @ARGS

##@ Development

.PHONY: standin
standin: $(VENV)/.runtime ## Run the stand-in server, a small CVAT-compatible server for dry runs (no Docker needed).
	@$(RUN)/run_standin.py @ARGS

.PHONY: test
test: $(VENV)/.dev ## Run the whole test suite (no Docker needed).
	@$(PYTEST) -n $(TEST_PROCESSES) --dist worksteal

# Three for two cores: many tests wait for a limit in time, or for a server.
TEST_PROCESSES = $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 ))

.PHONY: test-distributed
test-distributed: $(VENV)/.dev $(VENV)/.distributed ## Test convert on a Dask cluster of this machine, with workers that are killed.
	@$(PYTEST) tests/distributed

.PHONY: test-storage
test-storage: $(VENV)-storage/.done ## Test shards and object storage, on an S3 server of the tests' own.
	@PYTEST_ADDOPTS="$$ARGS" "$$VENV"-storage/bin/python -m pytest -n 2 tests/storage

$(VENV)-storage/.done: requirements.txt requirements-dev.txt requirements-storage-test.txt requirements-distributed.txt
	@$(call MAKE_VENV,"$$VENV"-storage)
	@"$$VENV"-storage/bin/python -m $(PIP_INSTALL) requirements.txt -r requirements-dev.txt -r requirements-distributed.txt -r requirements-storage-test.txt
	@touch "$@"

.PHONY: test-stack
test-stack: $(VENV)/.dev ## Test the CVAT server targets on a real Docker engine, with small images in CVAT's place.
	@$(PYTEST) -m stack -n 3 tests/stack

.PHONY: test-cvat
test-cvat: $(VENV)/.dev ## Test everything against the real CVAT in throw-away containers: [CVAT_VERSION=…].
	@$(PYTEST) -m cvat tests/real_cvat

.PHONY: test-contract
test-contract: $(VENV)/.dev ## Test what the clients rely on: on the stand-in, or on a real CVAT (CVAT_URL=https://… and credentials).
	@$(PYTEST) tests/contract $(if $(CVAT_URL),--against-real-cvat)

.PHONY: test-frameworks
test-frameworks: $(VENV)/.dev $(VENV)-frameworks/.done ## Test that every tool of docs/reading.md reads the datasets right, and train on them (6 GB, once).
	@$(PYTEST) -m frameworks tests/reading

.PHONY: lint
lint: $(VENV)/.dev ## Check style, types, formatting, the order of the packages, and that notebooks hold no outputs.
	@"$$VENV"/bin/ruff check .
	@"$$VENV"/bin/ruff format --check .
	@"$$VENV"/bin/mypy scripts
	@PYTHONPATH=scripts "$$VENV"/bin/lint-imports --no-logo --no-cache
	@$(STRIP_NOTEBOOKS) --verify

.PHONY: fault-table
fault-table: $(VENV)/.dev ## Renew docs/faults.md from what the scripts do when something goes wrong.
	@WRITE_FAULT_TABLE=1 $(PYTEST) -q -n auto tests/faults/test_matrix.py

.PHONY: test-sweeps
test-sweeps: $(VENV)/.dev ## Try every fault at every step, and stop what can be stopped at many more moments (some minutes).
	@SWEEPS=1 $(PYTEST) -n $(TEST_PROCESSES) --dist worksteal --timeout=1800 \
		tests

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Try thousands of odd configurations and damaged archives (some minutes).
	@FUZZ=1 $(PYTEST) -q -n auto --timeout=1800 tests/fuzz

LOCKS := requirements.txt requirements-dev.txt requirements-notebooks.txt requirements-distributed.txt requirements-storage.txt \
	requirements-storage-test.txt requirements-bench.txt requirements-frameworks.txt

.PHONY: audit
audit: $(VENV)/.dev ## List the dependencies' licences and parts, and fail on a known vulnerability or on one nobody could ask about.
	@"$$VENV"/bin/pip-licenses --from=mixed --format=markdown --output-file=docs/licences.md \
		--packages $$(sed -n 's/^\([A-Za-z0-9._-]*\).*==.*/\1/p' requirements.txt)
	@"$$VENV"/bin/cyclonedx-py requirements requirements.txt --output-reproducible --of JSON --output-file sbom.cdx.json
	@"$$VENV"/bin/pip-audit --strict --disable-pip --require-hashes $(LOCKS:%=--requirement=%) --progress-spinner=off

# By name beside the folder, for some tests work in a copy of this tree.
MEASURED = --cov=scripts --cov=toolkit --cov=standin $(patsubst scripts/%.py,--cov=%,$(wildcard scripts/*.py))

.PHONY: coverage
coverage: $(VENV)/.dev ## Measure what all tests reach, in all processes; those on a Docker engine too, if one answers.
	@$(PYTEST) -q -n auto --dist worksteal -m "stack or not stack" $(MEASURED) \
		--cov-report=term-missing:skip-covered --cov-fail-under=90

.PHONY: mutants
mutants: $(VENV)/.dev ## Change the code in small ways and list the changes that no test notices (some minutes).
	@"$$VENV"/bin/python tests/mutants/run_mutants.py

.PHONY: schema
schema: $(VENV)/.runtime ## Renew the JSON Schema and the table of keys from the configuration model.
	@$(DEV).describe_configuration @ARGS

.PHONY: strip-notebooks
strip-notebooks: $(VENV)/.dev ## Take the outputs out of the tutorials' notebooks before they go into git: [ARGS=--check].
	@$(STRIP_NOTEBOOKS) $${ARGS/--check/--verify}

# An editor adds its Python's version, its own settings and pictures.
STRIP_NOTEBOOKS = git ls-files -z '*.ipynb' | xargs -0 "$$VENV"/bin/nbstripout --keep-id --extra-keys \
	"metadata.language_info.version metadata.language_info.codemirror_mode metadata.vscode cell.metadata.vscode cell.attachments"

.PHONY: bench
bench: $(VENV)/.runtime $(VENV)-bench/.done ## Measure convert against unzip, split-folders, datumaro and cp: [ARGS="--images 2000 --rounds 3"].
	@$(DEV).bench_convert @ARGS

.PHONY: bench-scale
bench-scale: $(VENV)/.runtime ## Measure a million images in one zip and in 40: [ARGS="--images 100000"]; shards after make storage.
	@$(DEV).bench_scale @ARGS

.PHONY: bench-cvat
bench-cvat: $(VENV)/.runtime ## Measure import and export against cvat-cli alone on a running CVAT: [ARGS="--images 500"].
	@$(DEV).bench_cvat $(ARGS)

$(VENV)-bench/.done: requirements-bench.txt
	@$(call MAKE_VENV,"$$VENV"-bench)
	@"$$VENV"-bench/bin/python -m $(PIP_INSTALL) requirements-bench.txt
	@touch "$@"

.PHONY: readers
readers: $(VENV)/.dev $(VENV)-frameworks/.done ## Show which tool reads which layout right: [ARGS=--write] renews docs/reading.md.
	@$(DEV).compare_readers @ARGS

$(VENV)-frameworks/.done: requirements-frameworks.txt
	@echo "Setting up $$VENV-frameworks: some GB, for torch brings CUDA along …" >&2
	@$(call MAKE_VENV,"$$VENV"-frameworks)
	@"$$VENV"-frameworks/bin/python -m $(PIP_INSTALL) requirements-frameworks.txt
	@touch "$@"

.PHONY: lock
lock: $(VENV)/.dev ## Renew the hashed requirements from pyproject.toml.
	@$(DEV).lock_requirements @ARGS
