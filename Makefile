# Every target sets up what it needs: a virtual environment in .venv with the package and its extension built.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/pip --disable-pip-version-check
DEMO ?= demo
PEERS := .venv-peers
REV ?= HEAD

# Tests start hundreds of processes: where nothing is kept, each compiles the package anew, and pytest all tests twice.
export PYTHONDONTWRITEBYTECODE :=

CSRC := $(wildcard $(foreach end,h cpp cu cuh,csrc/*.$(end) csrc/*/*.$(end)))

.PHONY: install faults demo demo-bundle test test-fast test-lowest sanitize lint format bench bench-peers bench-compare gpu-check clean fuzz

install: $(INSTALLED)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "maescan needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): $(BIN)/python pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/* csrc/*/*)
	PIP_CONSTRAINT=constraints.txt $(PIP) install --quiet --editable '.[train,rivals,dicom,network,tensorrt,parquet,ray,dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/maescan demo --out $(DEMO)

# The bundle that `maescan demo` scores with, from the weights that are packed; AGAIN= trains them anew, in minutes.
AGAIN ?= --again
demo-bundle: $(INSTALLED)
	$(BIN)/python bench/demo_bundle.py $(AGAIN)

# A lost worker is a fault to be named; pytest-xdist 3.8 waits for ever when it replaces one under loadfile.
test: $(INSTALLED)
	TESTS_HANG_AFTER=960 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart=0 --durations=25

test-fast: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart=0 -m "not slow"

# Scoring with every dependency at its lower bound, in an environment of its own without torch.
LOWEST := .venv-lowest
test-lowest: $(INSTALLED)
	rm -rf $(LOWEST) && $(PYTHON) -m venv $(LOWEST)
	$(PYTHON) bench/lowest.py dicom > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/pip --disable-pip-version-check install --quiet -r $(LOWEST)/lowest.txt pytest pytest-timeout psutil
	$(BIN)/python -c "import shutil, glob, maescan._kernels as k; at = glob.glob('$(LOWEST)/lib/python3*/site-packages')[0]; \
	  shutil.copytree('python/maescan', f'{at}/maescan', ignore=shutil.ignore_patterns('export')); \
	  shutil.copytree('export', f'{at}/maescan/export'); shutil.copy(k.__file__, f'{at}/maescan')"
	$(LOWEST)/bin/python -m pytest -q -o filterwarnings=default tests/scoring/test_pipeline.py tests/test_options.py \
	  tests/cli/test_conventions.py tests/cli/test_demo.py tests/scans/test_nifti.py

# Damaged scans of every kind for SECONDS; nothing may crash, hang or fail in other words than ours.
SECONDS ?= 600
fuzz: $(INSTALLED)
	PYTHONPATH=tests nice $(BIN)/python tests/helpers/fuzz_scans.py $(SECONDS)

# Every call on the output folder fails once, with each error, or is the last that a process makes. Takes an hour.
faults: $(INSTALLED)
	MAESCAN_FAULTS=all $(BIN)/python -m pytest -s tests/system/test_faults.py

sanitize: $(INSTALLED)
	$(BIN)/python -m pytest tests/system/test_kernels_shim.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CSRC)
	$(BIN)/mypy
	$(BIN)/mypy bench

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CSRC)

bench: $(INSTALLED)
	$(BIN)/python -m pytest bench --benchmark-only

bench-peers: $(PEERS)/.installed
	$(PEERS)/bin/python bench/peers/run.py

# Peers have an environment of their own: their pins are nobody else's.
$(PEERS)/.installed: bench/peers/requirements.txt pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/* csrc/*/*)
	$(PYTHON) -m venv $(PEERS)
	PIP_CONSTRAINT=constraints.txt $(PEERS)/bin/pip --disable-pip-version-check install --quiet \
	  -r bench/peers/requirements.txt --config-settings=build-dir=build/peers --editable '.[train]'
	touch $@

# What a change did, as ratios from runs of both revisions in turns: make bench-compare REV=HEAD~1
bench-compare: $(INSTALLED)
	$(BIN)/python bench/compare.py $(REV)

gpu-check:
	$(PYTHON) bench/gpu_check.py

clean:
	rm -rf $(VENV) $(LOWEST) $(PEERS) build $(DEMO)
