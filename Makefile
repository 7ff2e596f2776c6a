# The commands people use. Each sets up what it needs (tools/setup.sh installs only what is missing).
BUILD ?= build
PREFIX ?= /usr/local
SUITE ?=
GRAPHS ?= 2000
KERNELS ?= 20000
SEED ?= 1
SECONDS ?= 600
# tests that run kernels on several threads, or have several of their own: what TSan is for (libarcher tells it what OpenMP orders)
THREADED = capture/test_threads capture/test_capture capture/test_bits capture/test_log schedule/test_fusion tile/test_kernel codegen/test_backend \
    explain/test_explain tensor/test_tensor
JOBS ?= $(shell nproc)

.PHONY: help demo build test check-random check-kernels fuzz bench lint format check-sanitize docs install clean
help:
	@echo "make demo            set up, build, train a GPT on the King James text, print a sample"
	@echo "make test            set up, build, run the tests"
	@echo "make fuzz TARGET=t   libFuzzer on what reads files: tile machine ir safetensors npy (all; SECONDS=$(SECONDS))"
	@echo "make check-random    random graphs against the reference (GRAPHS=$(GRAPHS), SEED=$(SEED))"
	@echo "make check-kernels   random kernels, interpreted and compiled (KERNELS=$(KERNELS), SEED=$(SEED))"
	@echo "make bench SUITE=s   benchmarks beside PyTorch (train); rows go to bench/results/"
	@echo "make lint            layout of the code, direction of the includes, clang-tidy"
	@echo "make check-sanitize  tests under AddressSanitizer and UBSan; the runtime's under ThreadSanitizer"
	@echo "make docs            docs/operators.md"
	@echo "make install         library, headers, pkg-config file, program, man page (PREFIX, DESTDIR)"

$(BUILD)/build.ninja:
	@tools/setup.sh build
	@meson setup $(BUILD) >$(BUILD)-setup.log 2>&1 || { cat $(BUILD)-setup.log; exit 1; }; mv $(BUILD)-setup.log $(BUILD)/

build: $(BUILD)/build.ninja
	@tools/setup.sh build
	@ninja -C $(BUILD) -j $(JOBS) --quiet
	@ln -sf src/tw $(BUILD)/tw

demo: build
	@tools/demo.sh $(BUILD)/tw

test: build
	@tools/setup.sh tests
	@python3 tools/run_tests.py $(BUILD)

fuzz:
	@tools/setup.sh fuzz
	@tools/fuzz.sh $(BUILD)-fuzz $(SECONDS) $(TARGET)

check-random: build
	@printf '%s\n' bits gradients again inplace compiled simplify | \
	    TW_CACHE=0 xargs -P $(JOBS) -I{} $(BUILD)/tests/random/check_random --graphs $(GRAPHS) --seed $(SEED) --what {}

check-kernels: build
	@tools/setup.sh tests
	@TW_CACHE=0 .venv-tests/bin/python tests/tile/random_kernels.py $(BUILD)/src/tw --both $(KERNELS) $(SEED)

bench: build
	@bench/setup_peers.sh
	@.venv-peers/bin/python bench/run.py $(SUITE)

lint: build
	@tools/setup.sh lint
	@python3 tools/check_includes.py
	@git ls-files '*.c' '*.h' | xargs clang-format-19 --dry-run -Werror
	@git ls-files 'src/*.c' | xargs -P $(JOBS) -n 16 clang-tidy-19 -p $(BUILD) --quiet 2>/dev/null

format:
	@tools/setup.sh lint
	@git ls-files '*.c' '*.h' | xargs clang-format-19 -i

check-sanitize:
	@tools/setup.sh build
	@tools/setup.sh tests
	@[ -e $(BUILD)-sanitize/build.ninja ] || meson setup $(BUILD)-sanitize -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	@ninja -C $(BUILD)-sanitize --quiet
	@ASAN_OPTIONS=detect_leaks=1 TEST_CFLAGS=-fsanitize=address,undefined python3 tools/run_tests.py $(BUILD)-sanitize
	@tools/setup.sh fuzz
	@[ -e $(BUILD)-tsan/build.ninja ] || CC=clang-19 meson setup $(BUILD)-tsan -Db_sanitize=thread -Db_lundef=false >/dev/null
	@ninja -C $(BUILD)-tsan --quiet
	@OMP_TOOL_LIBRARIES=/usr/lib/llvm-19/lib/libarcher.so \
	    TSAN_OPTIONS="ignore_noninstrumented_modules=1 exitcode=66 suppressions=tools/tsan.supp" python3 tools/run_tests.py $(BUILD)-tsan $(THREADED)

docs: build
	@cp $(BUILD)/generated/operators.md docs/operators.md
	@python3 tools/tile_docs.py

install: build
	@[ "$$(cat $(BUILD)/prefix 2>/dev/null || echo /usr/local)" = "$(PREFIX)" ] || \
	    { meson configure $(BUILD) -Dprefix="$(PREFIX)" && echo "$(PREFIX)" >$(BUILD)/prefix; }
	@ninja -C $(BUILD) -j $(JOBS) --quiet >$(BUILD)/install.log || { cat $(BUILD)/install.log; exit 1; }
	@DESTDIR="$(DESTDIR)" meson install -C $(BUILD) --no-rebuild --quiet
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || true
	@echo "installed in $(DESTDIR)$(PREFIX)"

clean:
	rm -rf $(BUILD) $(BUILD)-sanitize
