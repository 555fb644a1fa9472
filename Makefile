# Two commands for a fresh machine: `make play` and `make test`. Each makes an environment of its own.

PYTHON ?= python3
PLAY := .venv-play
TEST := .venv

.PHONY: play test checks lint clean

# Some environments set it. The tests start a hundred processes, and each would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

play: $(PLAY)/ready ## set up the runtime alone (no PyTorch) and play a game with the shipped network
	$(PLAY)/bin/azx play

test: $(TEST)/ready ## set up everything, check types and style, run all tests
	@$(MAKE) --no-print-directory --jobs 2 lint checks

checks: $(TEST)/ready
	$(TEST)/bin/python -m pytest --numprocesses auto --maxprocesses 4

lint: $(TEST)/ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	# mypy reads an installed copy: a checkout's folders are not where the package says they are.
	rm -rf $(TEST)/typed
	$(TEST)/bin/pip install --quiet --no-deps --target $(TEST)/typed .
	cd $(TEST)/typed && ../bin/mypy --config-file ../../pyproject.toml -p azx

clean:
	rm -rf $(PLAY) $(TEST) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(PLAY)/ready: pyproject.toml constraints.txt $(shell find src runtime models -type f)
	$(PYTHON) -m venv $(PLAY)
	$(PLAY)/bin/pip install --quiet --constraint constraints.txt .
	$(PLAY)/bin/pip install --quiet --no-deps --force-reinstall .
	touch $@

$(TEST)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST)
	# Most of these packages' 8,000 modules are never imported; to compile them all took 40 s.
	# The last two are for the gate's tests: networks that others wrote, and an engine that others wrote.
	$(TEST)/bin/pip install --quiet --no-compile --constraint constraints.txt torch==2.13.0 \
	  --editable '.[train,report]' pytest pytest-xdist hypothesis ruff mypy jsonschema transformers openvino
	touch $@
