# make demo   the main job, from nothing        make test   all tests
# make check  lint, types, layers, tests        make bench  measurements, written to bench.json
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check lint format bench images clean

demo:
	@VENV=$(VENV) deploy/bootstrap.sh demo
	@$(BIN)/lustre-events demo $(if $(KEEP),--keep)

test:
	@VENV=$(VENV) deploy/bootstrap.sh test
	@$(BIN)/python -m pytest $(PYTEST)

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
	@$(BIN)/lustre-events bench --output bench.json

images:
	@VENV=$(VENV) deploy/bootstrap.sh demo
	@extractors/build-images.sh $$($(BIN)/python -c 'from lustre_events.sandbox import default_images as f; print(f())')

clean:
	rm -rf $(VENV) images bench.json
