# What people type. Each command installs what it needs (as root, on Debian or Ubuntu).
PYTHON = .venv/bin/python

.PHONY: try test vps lint bench lock schema packages

try: ## Run Slipway on this machine, in ./.slipway
	./install.sh --try

# Most of a test's time is waiting (for builds, health checks, drains): two processes share what files there are.
test: .venv packages ui/node_modules ## Every test, or TESTS=path; the browser's use Debian's chromium
	$(PYTHON) -m pytest $(or $(TESTS),--numprocesses=2 --dist=loadfile --no-loadscope-reorder)

SYSTEMS = debian-12 debian-13
vps: .venv ## On servers that are booted for it (as root, on Debian): installs, crashes, reboots
	./install.sh --packages-for-test-servers
	$(MAKE) --jobs=2 --keep-going $(SYSTEMS:%=vps-%)

vps-%:
	SYSTEMS=$* $(PYTHON) -m pytest --verbose --must-boot $(WRITE) $(or $(TESTS),tests/vps)

lint: .venv ## Style, types, layers, shell scripts
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	shellcheck install.sh .ci/run

bench: .venv packages ui/node_modules ## Speed and memory, written to docs/BENCHMARKS.md; ONLY="switches memory": these
	$(PYTHON) -m tests.benchmarks $(ONLY)

packages:
	./install.sh --packages-for-test-servers

# Beside the locked packages, the code itself as it lies here.
.venv: requirements-dev.lock
	./install.sh --packages
	rm -rf .venv
	/usr/bin/python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements-dev.lock
	echo '$(CURDIR)/backend' > "$$(echo .venv/lib/python3.*/site-packages)/slipway-dev.pth"
	touch .venv

ui/node_modules: ui/package-lock.json
	cd ui && npm ci --ignore-scripts --no-audit --no-fund
	touch ui/node_modules

lock: ## Resolve the dependencies anew, exact and with hashes
	.venv/bin/uv pip compile --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml --output-file requirements.lock
	.venv/bin/uv pip compile --generate-hashes --no-header --python-version 3.11 --no-annotate --all-extras --group dev --constraint requirements.lock pyproject.toml --output-file requirements-dev.lock

schema: .venv ## Write migrations/schema.sql from the migrations
	$(PYTHON) -m pytest --quiet --write-schema tests/unit/db
