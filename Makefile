# make demo         from a synthetic data set to decisions, in minutes
# make test         all tests
# make test-monitor-long   a replay killed 100 times
# make test-monitor-month  30 days of a machine by replay
# make test-monitor-rigs   a sound server unplugged, stopped and killed 20 times each
# make test-monitor-real   an hour of real machines, then faulty ones, by three microphones
# make test-home-assistant HASS=path   the real Home Assistant, installed by you: path/to/bin/hass
# make test-archive  100,000 clips by 1 and 2 workers, killed twice; ARCHIVE_CLIPS=1000 for a try
# make test-kills   score, enroll, export, features and train killed 100 times, in half an hour
# make test-day     a day of 48 kHz stereo scored and enrolled, its memory measured; 17 GB of disk
# make test-arm64   the runtime's tests on ARM64, emulated; Debian 12
# make check        ruff, mypy, clang-format, the C core under every compiler here without warnings
# make sanitize     the C core and its binding under sanitizers and valgrind, in minutes
# make fuzz         FUZZ_MINUTES of mutated inputs for each kind; by coverage too: atheris, libFuzzer
# make docs-reference  the pages of docs/reference that follow from the code
# make docs-commands  the commands of the tutorials that train networks, as they are written
# make docs-notebooks  run docs/notebooks and keep what they print
# make docs-pictures  screenshots of the monitor's page, by the tests that drive it; needs chromium
# make wheels       sdist and wheels for x86-64 and aarch64 in dist/, checked by auditwheel; Debian 12
# make test-versions  the x86-64 wheel with the oldest and newest dependencies, on each Python here;
#                     VERSIONS="quick" scores the examples only, in a minute
# make test-pi      the lines for a Raspberry Pi of docs/howto/install.md, emulated, with the wheel
# make mutants      MUTANTS changes of the code, one at a time: do the tests notice?
# make docs         the pages of docs/ as HTML under build/docs, warnings are errors
# make clean        remove what these made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Real recordings and published scores; the tests that want them are skipped without.
RECORDINGS ?= $(wildcard ../shared/data)
C_SOURCES := $(wildcard csrc/*.c csrc/kernels/*.c)
C_HEADERS := $(wildcard csrc/*.h csrc/kernels/*.h csrc/template/*.h)
C_DRIVERS := $(wildcard tests/csrc/*.c)
COMPILERS := $(foreach cc,gcc clang,$(if $(shell command -v $(cc)),$(cc)))

.PHONY: install demo test test-monitor-long test-monitor-month test-monitor-rigs test-monitor-real
.PHONY: test-home-assistant test-arm64 wheels test-versions test-pi check sanitize fuzz docs
.PHONY: docs-reference docs-commands docs-pictures docs-notebooks clean test-archive test-kills
.PHONY: test-day mutants
install: $(INSTALLED)

$(INSTALLED): pyproject.toml setup.py constraints.txt $(C_SOURCES) $(C_HEADERS) csrc/_core.pyx
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh benchmarks/demo.sh demo

test-monitor-long: $(INSTALLED)
	ASD_EDGE_KILLS=100 $(BIN)/python -m pytest tests/monitor/test_replay.py $(PYTEST_ARGS)

test-monitor-month: $(INSTALLED)
	ASD_EDGE_DAYS=30 $(BIN)/python -m pytest -s tests/monitor/test_month.py $(PYTEST_ARGS)

test-kills: $(INSTALLED)
	ASD_EDGE_KILLS=100 $(BIN)/python -m pytest tests/test_kills.py $(PYTEST_ARGS)

test-day: $(INSTALLED)
	ASD_EDGE_DAY=24 $(BIN)/python -m pytest tests/test_long_recordings.py $(PYTEST_ARGS)

test-monitor-rigs: $(INSTALLED)
	ASD_EDGE_ROUNDS=20 $(BIN)/python -m pytest -s tests/monitor/test_sound_server.py $(PYTEST_ARGS)

test-monitor-real: $(INSTALLED)
	ASD_EDGE_NORMAL_S=3600 $(BIN)/python -m pytest -s tests/monitor/test_real_rig.py \
	    $(if $(RECORDINGS),--recordings=$(RECORDINGS)) $(PYTEST_ARGS)

test-home-assistant: $(INSTALLED)
	ASD_EDGE_HASS=$(HASS) $(BIN)/python -m pytest tests/monitor/test_home_assistant.py $(PYTEST_ARGS)

test: $(INSTALLED)
	$(BIN)/python -m pytest tests $(if $(RECORDINGS),--recordings=$(RECORDINGS)) $(PYTEST_ARGS)

ARCHIVE_CLIPS ?= 100000
test-archive: $(INSTALLED)
	$(BIN)/python benchmarks/archive.py build/archive --clips $(ARCHIVE_CLIPS)

test-arm64: $(INSTALLED)
	PYTHON=$(BIN)/python tests/arm64/run.sh $(if $(RECORDINGS),--recordings=$(RECORDINGS)) $(PYTEST_ARGS)

wheels:
	PYTHON=$(PYTHON) tests/packaging/wheels.sh

test-versions: $(INSTALLED)
	PYTHON=$(BIN)/python tests/packaging/versions.sh $(VERSIONS)

test-pi: $(INSTALLED)
	PYTHON=$(BIN)/python tests/arm64/raspberry_pi.sh

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(C_SOURCES) $(C_HEADERS) $(C_DRIVERS)
	for cc in $(COMPILERS); do for file in $(C_SOURCES) $(C_HEADERS) $(C_DRIVERS); do \
	    echo "$$cc $$file"; \
	    $$cc -std=c11 -Wall -Wextra -Wpedantic -Wno-unused-function -Werror -Icsrc -fsyntax-only \
	        -xc $$file || exit 1; \
	done; done

sanitize: $(INSTALLED)
	PYTHON=$(BIN)/python tests/csrc/sanitize.sh

FUZZ_MINUTES ?= 10
FUZZ_TARGETS ?= sound stream bundle name arguments score_csv feature_table
fuzz: $(INSTALLED)
	for target in $(FUZZ_TARGETS); do \
	    $(BIN)/python tests/fuzz/run.py $$target --minutes $(FUZZ_MINUTES) || exit 1; \
	    if $(BIN)/python -c 'import atheris' 2>/dev/null; then \
	        $(BIN)/python tests/fuzz/run.py $$target --minutes $(FUZZ_MINUTES) --guided || exit 1; \
	    fi; \
	done
	tests/csrc/fuzz.sh $(FUZZ_MINUTES)

docs-reference: $(INSTALLED)
	$(BIN)/python docs/generate.py

MUTANTS ?= 100
mutants: $(INSTALLED)
	$(BIN)/python tests/mutation/run.py --mutants $(MUTANTS)

docs: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx -W -n --keep-going -b html -q docs build/docs

docs-commands: $(INSTALLED)
	$(BIN)/python tests/doc_pages.py docs/tutorials/run-to-device.md docs/tutorials/dcase-entry.md

docs-notebooks: $(INSTALLED)
	$(BIN)/python tests/notebooks.py

docs-pictures: $(INSTALLED)
	ASD_EDGE_PICTURES=docs/pictures $(BIN)/python -m pytest -q -k pictures tests/monitor/test_page.py
	$(BIN)/asd-edge explain asd_edge/data/examples/faulty.flac -o docs/pictures/explanation.png
	$(BIN)/python docs/pictures.py

clean:
	rm -rf $(VENV) build dist demo *.egg-info asd_edge/*.so .mypy_cache .pytest_cache .ruff_cache
