# The two commands of README: `make run` and `make test`. Both set up .venv first, once.
PYTHON ?= python3
VENV   ?= .venv
# TORCH=cuda takes the build that PyPI serves instead of the small one without CUDA
TORCH  ?= cpu
TORCH_VERSION := 2.13.0
TORCH_INDEX   ?= https://download.pytorch.org/whl/cpu
# as many steps as fit six minutes on two cores with the exact assignment; loss=cd has time for the default of 3,300
ARGS   ?= model=pointset loss=emd trainer.max_steps=800

PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
STAMP  := $(VENV)/.lit3d-$(TORCH)

.PHONY: run test test-slow test-all lint setup clean

run: setup
	$(VENV)/bin/python -m lit3d.run $(ARGS)

test: setup ## the fast tier, under 5 minutes: two processes with a thread each, a file is one's whole
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m "not slow and not gpu" -n 2 --dist loadfile $(PYTEST_ARGS)

test-slow: setup ## faults, launchers, browser, the wheel: one after the other, for they take all cores
	$(VENV)/bin/python -m pytest -m "slow and not gpu" $(PYTEST_ARGS)

test-all: test test-slow ## under 25 minutes

lint: setup
	$(VENV)/bin/ruff check lit3d tests experiments
	$(VENV)/bin/mypy

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
ifeq ($(TORCH),cpu)
	# pip's own configuration may know a CPU build; else the official index has it (a bare torch pulls gigabytes of CUDA)
	$(PIP) install "torch==$(TORCH_VERSION)+cpu" 2>/dev/null \
	  || $(PIP) install "torch==$(TORCH_VERSION)" --index-url $(TORCH_INDEX)
	$(VENV)/bin/python -c "import torch, sys; sys.exit(torch.version.cuda and 'expected the CPU build of torch')"
else
	$(PIP) install "torch==$(TORCH_VERSION)"
	$(VENV)/bin/python -c "import torch, sys; sys.exit(not torch.version.cuda and 'expected a CUDA build of torch')"
endif
	$(PIP) install -c constraints.txt -e ".[dev]"
	$(VENV)/bin/python -m lit3d.warm_up
	touch $(STAMP)

clean:
	rm -rf $(VENV)
