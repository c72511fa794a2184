# make run     set everything up in .venv and open the playground with the built-in model
# make test    set everything up and run the tests
# make check   linter, types, import rules, file budgets
# make bench   measure; the last line of stdout is one JSON object
# make traces  record the runs that greet a visitor again (after the weights changed)
# make worlds  train the small-worlds networks anew (hours; goes on where it stopped)
# make sudoku  the same for the Sudoku networks; WEIGHTS=folder puts the weights elsewhere
# make setup   only set everything up
.PHONY: run test check bench traces worlds sudoku setup clean
.DEFAULT_GOAL := run

PYTHON ?= python3
# An exact version: where the package index serves CUDA builds, a range would fetch gigabytes that a CPU cannot use.
TORCH ?= torch==2.13.0
VENV := .venv
WEIGHTS ?= assets/weights/small
IN := $(VENV)/bin/python
export GRADIO_ANALYTICS_ENABLED := False
export HF_HUB_DISABLE_TELEMETRY := 1

run: $(VENV)/.runtime
	$(IN) app.py $(ARGS)

test: $(VENV)/.development
	$(IN) -m pytest $(ARGS)

bench: $(VENV)/.development
	$(IN) -m bench $(ARGS)

traces: $(VENV)/.development
	$(IN) -m scripts.record

worlds: $(VENV)/.development
	$(IN) -m training.worlds $(ARGS)

sudoku: $(VENV)/.development
	$(IN) -m training.sudoku --out checkpoints/sudoku/masked --seconds 2900 $(ARGS)
	$(IN) -m training.sudoku --causal --out checkpoints/sudoku/causal --seconds 950 $(ARGS)
	$(IN) -m training.sudoku.export checkpoints/sudoku/masked $(WEIGHTS)/sudoku.safetensors
	$(IN) -m training.sudoku.export checkpoints/sudoku/causal $(WEIGHTS)/sudoku-twin.safetensors

check: $(VENV)/.development
	$(IN) -m ruff check --output-format concise .
	$(IN) -m ruff format --check --quiet .
	@find playground -name '*.pyi' -delete # stubs that gradio writes beside its components, not ours
	$(IN) -m mypy
	$(IN) -m scripts.import_rules
	$(IN) -m scripts.budgets

setup: $(VENV)/.development

$(IN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt | $(IN)
	$(IN) -c 'import torch' 2>/dev/null || $(IN) -m pip install --quiet "$(TORCH)"
	$(IN) -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/.development: requirements-dev.txt $(VENV)/.runtime
	$(IN) -m pip install --quiet -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis test-output bench-output
