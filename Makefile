# The commands of the README. Each one first brings the installation up to date: a second run takes seconds.
.DEFAULT_GOAL := help
.PHONY: help setup demo test torture bench evaluate lint clean
MAKEFLAGS += --no-print-directory

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install everything into this folder
	@./setup

demo: ## play one report from the first text to the check-in (EXIT=1: stop at the end)
	@./setup
	@.venv/bin/tellonce demo $(if $(EXIT),--exit)

test: ## run the tests (ARGS="-k receipt -x" goes to pytest)
	@./setup --dev
	@.venv/bin/pytest $(ARGS)

torture: ## kill and cut off everything for 25 minutes and count what is lost (ARGS="--seed 7 --sqlite")
	@./setup --dev
	@.venv/bin/python -m tests.torture $(ARGS)

bench: ## measure speed, memory and size on this machine
	@./setup --dev
	@.venv/bin/python -m bench $(ARGS)

evaluate: ## measure translation, detection and understanding on held-out texts
	@./setup --dev
	@.venv/bin/python -m bench.evaluate_translation
	@.venv/bin/python -m bench.evaluate_understanding

lint: ## check style, types and import layers
	@./setup --dev --without-nlu
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --quiet --check .
	@.venv/bin/mypy --no-error-summary
	@.venv/bin/lint-imports --no-logo

clean: ## remove what setup installed (var/, with your database, stays)
	rm -rf .venv .tools nlu/.venv nlu/models nlu/.rasa .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
