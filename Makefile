# Everything a person or CI does here. `make` alone lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# What `make run` uses.
DATA   ?= ./leadevents-data
LISTEN ?= 127.0.0.1:8080

# These share memory between goroutines on purpose: tested with -race, which is
# several times slower, so the others are tested without. cmd/internal/app only puts
# them together; with -race its tests alone take ten minutes: `make race`.
RACE = ./ingest/... ./auth/... ./query/... ./internal/... ./journal/... ./retention/... ./reconcile/...
# But these have no goroutines (package house looks), and their random tests take five times as long raced.
PLAIN = ./query/audience ./query/report ./query/upload ./internal/loadgen ./internal/house ./internal/rawjson
# One package may take this long; the whole-program tests start real stores.
TIMEOUT  ?= 20m
FUZZTIME ?= 1m
FUZZ     ?=
# Arguments of the benchmarks: make bench BENCH='ingest --record'
BENCH ?=

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build redis ## from a fresh machine to a running server, with its own ClickHouse and Redis
	@exec bin/leadevents dev --data-dir $(DATA) --listen $(LISTEN)

.PHONY: build
build: engine ## bin/leadevents, with the engine that `dev` needs beside it
	go build -o bin/leadevents ./cmd/leadevents

# The ClickHouse engine: a pinned npm package, fetched once into the user's
# cache, outside of the tree, and linked as bin/libchdb.so.
.PHONY: engine
engine:
	@sh clickhouse/embedded/npm/fetch.sh bin

# What comes from Debian is installed only when it is missing: $(call debian,COMMAND,PACKAGE,
# WHAT TO INSTALL WHERE THERE IS NO apt-get). RUNLEVEL=1 asks a package not to start a
# service: ours are children of our own processes.
define debian
@command -v $(1) >/dev/null && exit 0; \
command -v apt-get >/dev/null || { echo "$(1) is not installed, and there is no apt-get here: install $(3), so that $(1) is on the PATH" >&2; exit 1; }; \
as_root=; if [ "$$(id -u)" != 0 ]; then command -v sudo >/dev/null || { echo "$(1) is not installed: as root, apt-get install $(2)" >&2; exit 1; }; as_root=sudo; fi; \
echo "installing $(2)" >&2; \
$$as_root apt-get update -qq; \
$$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $(2) >/dev/null
endef

.PHONY: redis
redis:
	$(call debian,redis-server,redis-server,Redis 7.0 or newer)

# Counts instructions, for bench-check.
.PHONY: valgrind
valgrind:
	$(call debian,valgrind,valgrind,Valgrind 3.19 or newer)

# Lint has looked with vet; without symbols for debuggers the 40 programs of tests are linked in half
# the time.
GOTEST = go test -vet=off -ldflags=-s -timeout $(TIMEOUT)

# What reads large files is alone while it does: raced it takes ten times as long and finds nothing.
# So -race takes less of it (-short), and without it all is read.
READS = ./ingest/backfill

# These come after what is raced, which ends first.
AFTER = ./cmd/leadevents

# One test runner over all runs of go test, so that one summary closes them. What is not raced runs
# beside the rest: one after the other, the last packages of each left a core to wait for the
# clocks of tests. What it prints is kept until the rest has ended, for lines of two may not mix.
.PHONY: test
test: build redis valgrind ## all tests, from a fresh machine; a summary closes it
	@export TMPDIR=$$(.ci/tmpdir); go tool gotestsum --format pkgname --format-hide-empty-pkg --raw-command -- bash -c '\
		failed=0; \
		all=$$(go list ./...); after=$$(go list $(AFTER)); \
		raced=$$(go list $(RACE) | grep -vxF "$$(go list $(PLAIN))"); \
		kept=$$(mktemp); trap "rm -f $$kept" EXIT; \
		$(GOTEST) -p 1 -json $$(comm -23 <(sort <<<"$$all") <(printf "%s\n" $$raced $$after | sort)) $(READS) >"$$kept" & \
		$(GOTEST) -p 2 -json -race -short $$raced || failed=1; \
		$(GOTEST) -p 1 -json $$after || failed=1; \
		wait $$! || failed=1; \
		cat "$$kept"; \
		exit $$failed'

.PHONY: race
race: build redis valgrind ## all tests with -race, half an hour
	TMPDIR=$$(.ci/tmpdir) go test -race -timeout 60m ./...

# How long the faults last, and which: the same SEED injects the same faults.
DURATION ?= 30m
SEED     ?= 1

.PHONY: chaos
chaos: build redis ## kill, cut off and empty everything for DURATION (30m) and prove that no answer was wrong; SEED
	go test ./internal/chaos -run '^(TestChaos|TestABackfillThroughKillsOfEverythingIsExact|TestTheHarnessCatchesANaiveLedger)$$' -v -count 1 -timeout 0 -args -duration $(DURATION) -seed $(SEED)

.PHONY: lint
lint: ## formatting, go vet, staticcheck (exceptions with reasons: staticcheck.conf), known vulnerabilities
	@unformatted=$$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	@.ci/vuln

.PHONY: vuln
vuln: ## known vulnerabilities alone; unlike in lint, not to be able to check is an error
	@VULN=required .ci/vuln

.PHONY: fuzz
fuzz: ## every fuzz test for FUZZTIME (1m), with a summary; FUZZ names some of them by a pattern
	@FUZZTIME=$(FUZZTIME) FUZZ='$(FUZZ)' .ci/fuzz

.PHONY: bench
bench: build redis ## the goals for speed beside what is measured on this machine, ten minutes
	go run ./bench $(BENCH)

.PHONY: bench-full
bench-full: build redis ## the same with 100 million stored rows
	go run ./bench speed --rows 100000000 $(BENCH)

# One by name, as comments cite them: make bench-ledger BENCH=--record; what each
# shows and how long it takes: bench/README.md
BENCHMARKS = bench-speed bench-ingest bench-fairness bench-backpressure bench-recovery bench-ledger bench-coldcheck bench-durability bench-audience bench-campaign bench-slowclients bench-auth bench-query bench-backfill bench-sizes
.PHONY: $(BENCHMARKS)
$(BENCHMARKS): build redis
	go run ./bench $(@:bench-%=%) $(BENCH)

.PHONY: bench-schema
bench-schema: engine ## the experiment behind the tables' keys and codecs (clickhouse/schema/README.md), about half an hour
	go run ./bench/schema $(BENCH)

.PHONY: bench-check
bench-check: valgrind ## allocations and instructions of the hot paths against their record, half a minute; BENCH=--record
	@go run ./bench/check $(BENCH)

.PHONY: clean
clean: ## remove what was built; data and the engine's cache stay
	rm -rf bin bench/out
