# make demo   the main job, from nothing (FULL=1: with all images, and a file of every family)   make test   all tests
# make check  lint, types, layers, tests        make bench  measurements, written to bench.json; beside those in bench-release.json
# make quick  for each save: lint, types, layers, unit and contract tests with fewer of hypothesis's examples
# make quick-newer  unit and contract tests on Debian 13 (Python 3.13), as root
# make field  deploy/README.md, carried out on a Debian 12 with systemd that the test boots, as root; then what may happen to it
# make cgroups  tests of cgroups (version 2) on Debian's kernel in an emulator, as root
# make explore  hypothesis's tests with other examples than CI's, and ten times as many (EXPLORE=100: more). What it
#               finds is written down beside the test as an @example; CI draws the same examples each time.
# make fuzz   each role's login of Redis with random commands, and odd input for all that reads some (FUZZ=100: more)
# make docs   the pages of reference and the site (PICTURES=1: diagrams and screenshots, too, with images and Chromium)
# make chaos  everything killed, paused and filled at random while files change, and the truth compared (as root).
#             SECONDS=600: for how long; SEED=N: the round of that seed again
VENV ?= .venv
BIN := $(VENV)/bin
# Tests wait for their servers and processes, so half as many again as there are cores run at once.
PARALLEL ?= -n $$(( ($$(nproc) * 3 + 1) / 2 )) --maxprocesses 8 --dist worksteal
# Plugins of pytest that installed packages bring along. No test needs them, and zarr's takes seconds to import.
UNUSED := -p no:platformdirs -p no:valkey -p no:zarr

.PHONY: demo test field quick quick-tests quick-newer cgroups explore fuzz chaos check lint format bench bench-large images images-report constraints docs clean

demo:
	@VENV=$(VENV) deploy/bootstrap.sh demo
	@$(if $(FULL),$(MAKE) images)
	@$(BIN)/lustre-events demo $(if $(KEEP),--keep) $(if $(FULL),--full)

# Each worker, and each process of a service, would compile every module anew, and rewrite the assertions of every
# test, where the environment forbids Python to keep what it has compiled.
test quick-tests field: export PYTHONDONTWRITEBYTECODE =
test:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@$(BIN)/python -m pytest $(UNUSED) $(PARALLEL) $(PYTEST)

# Lint keeps one core busy at most, so the tests begin beside it.
quick:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@$(MAKE) --no-print-directory -j2 lint quick-tests

quick-tests:
	@LUSTRE_EVENTS_QUICK=1 $(BIN)/python -m pytest $(UNUSED) $(PARALLEL) -m "not field and not long" tests/unit tests/contract tests/abi $(PYTEST)

quick-newer:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@VENV=$(VENV) tests/newer-python.sh tests/unit tests/contract $(PARALLEL) $(PYTEST)

cgroups:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@tests/cgroup-machine.sh $(PYTEST)

# One machine and one story: the tests run in their order, and the first that fails ends it.
field:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@$(BIN)/python -m pytest -m field -x -rsP --show-capture=stdout tests/field $(PYTEST)

# A minute or more of random commands with the login of each role of Redis, then of odd input for whatever reads it.
FUZZ ?= 30
fuzz:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@LUSTRE_EVENTS_EXPLORE=$(FUZZ) $(BIN)/python -m pytest --timeout=7200 tests/integration/test_role_fuzzer.py $(PYTEST)
	@LUSTRE_EVENTS_EXPLORE=$(FUZZ) $(BIN)/python -m pytest -m hypothesis --timeout=7200 $(FUZZED) $(PYTEST)
FUZZED = $(addprefix tests/unit/test_,record.py record_text.py contract.py manifest.py toml_text.py rules.py rule_review.py \
  index_query.py job_messages.py bounds.py index_values.py requests_fuzz.py jobs_fuzz.py)

EXPLORE ?= 10
explore:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@LUSTRE_EVENTS_EXPLORE=$(EXPLORE) $(BIN)/python -m pytest -m hypothesis --timeout=7200 $(PYTEST)

SECONDS ?= 300
SEED ?= 0
chaos:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@$(BIN)/python -m tests.chaos --seconds $(SECONDS) --seed $(SEED)

check: lint test

lint:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --show-timings >/dev/null || $(BIN)/lint-imports --no-cache

format:
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench:
	@VENV=$(VENV) deploy/bootstrap.sh bench
	@$(BIN)/python -m bench --output bench.json $(if $(wildcard bench-release.json),--against bench-release.json)

# An index of ten million files: 52 minutes with TMPDIR=/dev/shm (12 GB) on 2 busy cores, longer on a disk.
bench-large:
	@VENV=$(VENV) deploy/bootstrap.sh bench
	@$(BIN)/python -m bench index-growth --output bench-large.json

images:
	@VENV=$(VENV) deploy/bootstrap.sh demo
	@VENV=$(VENV) extractors/build-images.sh $$($(BIN)/python -P -c 'from lustre_events.node.sandbox import default_images as f; print(f())')

images-report: images
	@VENV=$(VENV) extractors/images-report.sh $$($(BIN)/python -P -c 'from lustre_events.node.sandbox import default_images as f; print(f())')

# Newest versions of all dependencies into deploy/constraints.txt: test and commit it.
constraints:
	@deploy/constraints.sh

docs:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@$(BIN)/python docs/generate.py
	@$(if $(PICTURES),$(BIN)/python docs/pictures.py)
	@$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) images bench.json site
