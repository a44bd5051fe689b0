# bench.mk - the benchmarks. Included by the top Makefile, whose BUILD and QUIET it uses.
#
#	make bench          all rows: tiny guests here, stock kernels where they can run
#	make bench-quick    the rows with tiny guests only: seconds
#
# RUNS=N takes N runs of each contender, K=WORD only the rows with WORD in their name. The table
# goes to standard output, every sample to bench.json. tests/bench/bench.py says what is measured
# how.

BENCH_DIR    := tests/bench
BENCH_INITRD := $(BUILD)/bench/initrd.img
BENCH_ARGS    = $(if $(RUNS),--runs $(RUNS)) $(if $(K),-k '$(K)') --build $(BUILD) ./bantam

.PHONY: bench bench-quick bench-kernels
bench: bantam guests bench-kernels $(BENCH_INITRD)
	$(QUIET)$(BENCH_DIR)/bench.py $(BENCH_ARGS)

bench-quick: bantam guests
	$(QUIET)$(BENCH_DIR)/bench.py --only native $(BENCH_ARGS)

# Without kernels the other rows are still worth having; the rows that miss them say so.
bench-kernels:
	$(QUIET)tools/kernels cloud || echo 'bench: no stock kernel: rows that need one are not taken' >&2

$(BENCH_INITRD): tests/system/initrd/build tests/system/initrd/init
	$(QUIET)tests/system/initrd/build $@
