# make demo    a report on a photograph, with nothing but Python and make       make docs    the documentation
# make test    lint and tests, as in CI                                         make bench   speed and memory
# make bench-contributions   errors, times and memory of the contributions, beside Captum (needs CRITPATH_ASSETS)
# make bench-pathways        finders, radius of linearity, decoding (needs CRITPATH_ASSETS)
# make bench-evaluation      perturbation, randomisation, runs, Ray, planning (needs CRITPATH_ASSETS)
# make study-pathways        the pathway paper's figures 1 to 3 on four networks, resumable (hours; needs CRITPATH_ASSETS)
# make study-NAME            one study of the papers in its small form, resumable (minutes; needs CRITPATH_ASSETS): NAME is
#                            conductance-text, conductance-images, sanity, perturbation, roar, prunegrad or faults
# make studies-small         all seven, one after the other, and a page of all verdicts
# PYTHON=python3.12 chooses the interpreter that .venv is made with; JOBS is the number of test processes.

PYTHON ?= python3
JOBS ?= 2
REPORT ?= critpath-report.html
RESULTS ?= benchmarks/results/core-cpu.json
CONTRIBUTIONS ?= benchmarks/results/contributions-cpu.json
PATHWAYS ?= benchmarks/results/pathways-cpu.json
EVALUATION ?= benchmarks/results/evaluation-cpu.json
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt
PYTEST_OPTIONS ?= -q -n $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test lint format pytest docs bench bench-contributions bench-pathways bench-evaluation study-pathways studies-small clean

help:
	@sed -n '/^# /!q; s/^# //p' Makefile

demo: $(VENV)/demo.stamp
	$(BIN)/critpath explain --demo -o $(REPORT)
	@echo "Open $(abspath $(REPORT)) in a browser."

test: lint pytest

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One thread in each process: two processes with as many threads as cores would wait for each other.
pytest: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_OPTIONS)

docs: $(VENV)/dev.stamp
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Open $(abspath docs/_build/html/index.html) in a browser."

bench: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/core.py -o $(RESULTS)

bench-contributions: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/contributions.py -o $(CONTRIBUTIONS)
	$(BIN)/python benchmarks/contributions.py --plots -o $(CONTRIBUTIONS)

bench-pathways: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/pathways.py -o $(PATHWAYS)

# One thread, so that times of the processor can be taken and Ray's workers do not wait for each other.
bench-evaluation: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python benchmarks/evaluation.py -o $(EVALUATION)

study-pathways: $(VENV)/dev.stamp
	PYTHONPATH=. GLIBC_TUNABLES=glibc.malloc.hugetlb=1 $(BIN)/python -m studies.pathways run
	PYTHONPATH=. $(BIN)/python -m studies.pathways fold

study-%: $(VENV)/dev.stamp
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1 $(BIN)/python -m studies $*

studies-small: $(VENV)/dev.stamp
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1 $(BIN)/python -m studies small

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(VENV)/python.stamp
	@echo "Installing critpath[demo] into $(VENV). The first time this takes some minutes."
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(VENV)/python.stamp
	@echo "Installing critpath[dev] into $(VENV). The first time this takes some minutes."
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/demo.stamp

$(VENV)/python.stamp:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Name a Python of 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "critpath needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)."; exit 1; }
	@touch $@

clean:
	rm -rf $(VENV) dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis critpath-report*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
