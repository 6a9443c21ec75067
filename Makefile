# `make demo` and `make test` each work as the first command on a machine with Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := animegan_tf tools tests flags setup.py

.PHONY: help demo test test-slow test-all check docs bench venv clean

help:            ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/base ## stylize the example photo with the shipped style
	$(BIN)/animegan image docs/images/example.jpg --style hokusai -o out/example_hokusai.jpg --overwrite

test: .venv/dev  ## the fast tests, about six minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow and not browser and not gpu"

test-slow: .venv/dev ## the rest: published sizes, every system as a graph and in every format; eight minutes
	$(BIN)/python -m pytest -n 2 --dist loadscope -m slow

test-all: test test-slow ## both

check: .venv/dev ## format, lint, types
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

docs: .venv/dev  ## write the generated pages again
	$(BIN)/python tools/make_docs.py

# Beside the models that the AnimeGAN authors published, where you have them: make bench ANCHORS=FOLDER
ANCHORS ?= $(wildcard ../shared/anchors)

bench: .venv/dev ## measure speed, memory, start, input and training; docs/performance.md says how
	$(BIN)/python tools/benchmark.py --out=out/benchmark --overwrite $(if $(ANCHORS),--anchors=$(ANCHORS)) $(ARGS)

venv: .venv/dev  ## .venv with the pinned packages, everything

clean:           ## remove what was built, .venv included
	rm -rf .venv build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache

.venv/base: setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

# opencv-python links libGL and libglib, which a bare server lacks. The headless build needs neither; where you may
# install system packages instead: apt-get install libgl1 libglib2.0-0
.venv/dev: .venv/base
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	$(BIN)/python -c 'import cv2' 2>/dev/null || ( \
		echo 'opencv-python cannot load here (libGL?): taking opencv-python-headless' && \
		$(BIN)/pip uninstall -q -y opencv-python opencv-python-headless && \
		$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt opencv-python-headless )
	touch $@
