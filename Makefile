# Proa's only build file.  `make help` lists the targets, CONTRIBUTING.md says when to use which.
# A mode (asan, tsan, ...) is this same file with another BUILD folder and other CFLAGS.  gcc >= 12 or clang >= 14.

BUILD   ?= build
PREFIX  ?= /usr/local
T       ?= 20
ROOT    ?= build/deps/root
VENV    := build/venv

# Short lines; V=1 shows the commands.
Q       := $(if $(filter 1,$(V)),,@)
say      = $(if $(Q),@printf '%-4s %s\n' $(1) $@)

ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc) --no-print-directory
endif

# ---- flags -------------------------------------------------------------------------------------------------------

MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null)
CLANG   := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
CLANG_WARN := -Wno-string-conversion -Wno-gnu-zero-variadic-macro-arguments -Wno-missing-field-initializers
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wwrite-strings -Wformat=2 -Wimplicit-fallthrough -Werror $(if $(CLANG),$(CLANG_WARN),-Wno-maybe-uninitialized)
HARDEN  := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fvisibility=hidden \
           $(if $(CLANG),-ftrivial-auto-var-init=pattern,-ftrivial-auto-var-init=zero -fstack-clash-protection) \
           $(if $(findstring x86_64,$(MACHINE)),-fcf-protection=full)
CFLAGS  ?= -O2 -g $(HARDEN) -ffunction-sections -fdata-sections
LDFLAGS ?= -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections
KERNEL  ?= -O3
# a * b + c is rounded twice, as written, whatever the processor has: an operator gives the same on all of them.  The
# sums of kernels may be rounded once: in what order they are added up differs from one processor to the next anyway.
FLOAT   := -ffp-contract=off
# What a unit test itself does is over at once, and there are many: what counts for them is how fast they are compiled.
UNIT    := -O0 -U_FORTIFY_SOURCE $(if $(CLANG),,-Wno-format-truncation)
ALL     := -std=gnu11 -D_GNU_SOURCE -Isrc -Itests -fPIE -fno-omit-frame-pointer -MMD -MP $(WARN)
ISA_avx2   := $(if $(findstring x86_64,$(MACHINE)),-mavx2 -mfma -mf16c)
ISA_avx512 := $(if $(findstring x86_64,$(MACHINE)),-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c)

# ---- libraries: static where the distribution has them so; yyjson is shared only ----------------------------------
# On Debian 12 llhttp and yyjson of Debian 13 lie under $(ROOT) (tools/deps.sh); on Debian 13 they are the system's.

HERE    := $(wildcard $(ROOT)/usr/lib/*-linux-gnu)
ALL     += $(addprefix -isystem ,$(wildcard $(ROOT)/usr/include $(ROOT)/usr/include/*-linux-gnu))
LIBS    := $(addprefix -L,$(HERE)) -Wl,--as-needed -l:libllhttp.a -l:libnghttp2.a -lyyjson -l:libyaml.a -l:libz.a -lm -lpthread -lssl -lcrypto
empty   :=
up       = $(subst $(empty) ,/,$(patsubst %,..,$(subst /, ,$(patsubst ./%,%,$(1)))))
# From the folder of the program to $(HERE): relative, so that a built tree may be moved.
RPATH    = $(if $(HERE),-Wl$(,)-rpath$(,)$(if $(filter /%,$@),$(abspath $(HERE)),'$$ORIGIN/$(call up,$(@D))/$(HERE)'))
,       := ,

# A first build on a machine that lacks something says which command brings it, instead of a missing header.
ifeq ($(wildcard $(BUILD)/.links)$(filter-out all,$(MAKECMDGOALS)),)
ifneq ($(shell tools/deps.sh --missing build),)
$(error missing: $(shell tools/deps.sh --missing build): `make deps` installs them)
endif
endif

# ---- files -------------------------------------------------------------------------------------------------------

# A lie about a length must meet a refused allocation, as it does without a sanitizer, not the sanitizer's own abort.
export ASAN_OPTIONS := allocator_may_return_null=1:$(ASAN_OPTIONS)
export TSAN_OPTIONS := allocator_may_return_null=1:halt_on_error=1:second_deadlock_stack=1:$(TSAN_OPTIONS)
export UBSAN_OPTIONS := print_stacktrace=1:$(UBSAN_OPTIONS)

SRC     := $(wildcard src/*/*.c)
LIB     := $(filter-out src/cli/main.c,$(SRC))
OBJ     := $(LIB:%.c=$(BUILD)/%.o)
TESTSRC := $(wildcard tests/unit/test_*.c tests/sim/sim_*.c)
FAKE    := $(wildcard tests/fake/*.c)
TESTOBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/*.c))
FUZZSRC := $(wildcard tests/fuzz/fuzz_*.c)
BENCHSRC := $(wildcard bench/bench_*.c)
TESTS   := $(TESTSRC:%.c=$(BUILD)/%)
REPLAYS := $(FUZZSRC:tests/fuzz/fuzz_%.c=$(BUILD)/tests/fuzz/replay_%)
# Threads live in these layers; their tests run under ThreadSanitizer.
THREADED := $(patsubst %,tests/unit/test_%,$(basename $(notdir $(wildcard $(addsuffix /*.c,src/os src/async src/net src/engine src/models src/jobs src/serve)))))
TSAN_TESTS := $(addprefix build/tsan/,$(filter $(THREADED),$(basename $(TESTSRC))))

all: $(BUILD)/proa   ## build the release program: build/proa

# A file that holds the words of a variable and changes when they do: what depends on it is made anew.
stamp    = $(shell mkdir -p $(BUILD); printf '%s\n' "$(strip $(subst ",,$(2)))" | cmp -s - $(BUILD)/$(1) || \
           printf '%s\n' "$(strip $(subst ",,$(2)))" > $(BUILD)/$(1))
ifneq ($(MAKECMDGOALS),clean)
$(call stamp,.flags,$(filter-out ccache,$(CC)) $(ALL) $(CFLAGS) $(FLOAT) $(KERNEL) $(UNIT) $(ISA_avx2) $(ISA_avx512))
$(call stamp,.links,$(filter-out ccache,$(CC)) $(CFLAGS) $(LDFLAGS) $(LIBS))
$(call stamp,.files,$(OBJ))
endif

$(BUILD)/src/tensor/%.o: TUNE = $(if $(filter kernel% %_scalar %_avx2 %_avx512 %_neon,$(*F)),$(KERNEL) -ffp-contract=fast)
# The loops over tiles in operators are kernels too: for whole numbers, comparisons, choices.
$(BUILD)/src/engine/op_%.o: TUNE = $(KERNEL)
$(BUILD)/tests/unit/%.o: TUNE = $(UNIT)
$(BUILD)/%_avx2.o: ISA := $(ISA_avx2)
$(BUILD)/%_avx512.o: ISA := $(ISA_avx512)
$(BUILD)/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(ALL) $(CFLAGS) $(FLOAT) $(TUNE) $(ISA) -c $< -o $@
$(BUILD)/libproa.a: $(OBJ) $(BUILD)/.files
	@rm -f $@
	$(Q)$(AR) rcs $@ $(OBJ)

LINK     = $(CC) $(CFLAGS) $(LDFLAGS) -pie $(filter %.o %.a,$^) $(LIBS) $(RPATH) -o $@
# Debug information, four times as long as all else, lies in a file of its own, where gdb, perf and valgrind find it: who starts the program
# from a cold disk has what surrounds its first page read along with it, up to megabytes.
OBJCOPY ?= $(shell $(CC) -print-prog-name=objcopy)
$(BUILD)/proa: $(BUILD)/src/cli/main.o $(BUILD)/libproa.a $(BUILD)/.links
	$(call say,LD)
	$(Q)$(LINK)
	$(Q)$(OBJCOPY) --only-keep-debug $@ $@.debug
	$(Q)$(OBJCOPY) --strip-debug --add-gnu-debuglink=$@.debug $@
$(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(TESTOBJ) $(BUILD)/libproa.a $(BUILD)/.links
	$(call say,LD)
	$(Q)$(LINK)
# Before libproa.a: a test that scripts faults (tests/fake) gets its system calls from here, the others from src/os.
$(BUILD)/libfake.a: $(FAKE:%.c=$(BUILD)/%.o)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TESTOBJ) $(BUILD)/libfake.a $(BUILD)/libproa.a $(BUILD)/.links
	$(call say,LD)
	$(Q)$(LINK)
$(BUILD)/bench/bench_startup: | $(BUILD)/proa $(BUILD)/bench/trivial
$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BUILD)/libproa.a $(BUILD)/.links
	$(call say,LD)
	$(Q)$(LINK)

# At -O1 and under sanitizers gcc sees truncations and conversions that are none: the release build judges those.  Its guess at uninitialised values
# is off everywhere (above), because it does not follow error codes; -fanalyzer and clang do.
NOISE   := $(if $(CLANG),,-Wno-format-truncation -Wno-stringop-overflow -Wno-conversion -Wno-sign-conversion)

ASAN     = BUILD=build/asan LDFLAGS= KERNEL= CFLAGS="-O1 -g1 -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all $(NOISE)"
TSAN     = BUILD=build/tsan LDFLAGS= KERNEL= CFLAGS="-O1 -g1 -fsanitize=thread $(NOISE)"

# ---- tests -------------------------------------------------------------------------------------------------------

RUN     ?=
CHECK    = tools/check.sh --log $(BUILD)/logs $(if $(RUN),--run "$(RUN)")

demo:   ## install what is missing, build, serve the digits model and classify 20 images (ONESHOT=1: then exit)
	@tools/deps.sh build demo
	+@$(MAKE) all
	@python3 tools/demo.py $(if $(filter 1,$(ONESHOT)),--oneshot)

test:   ## install what is missing, then everything a change must pass: check, end-to-end tests, features table
	@tools/deps.sh build test
	+@tools/steps.sh check e2e features

check: $(TESTS) $(REPLAYS)   ## unit and simulation tests, and the fuzz corpora replayed; under 60 s
	@$(CHECK) $^

asan:   ## the same under AddressSanitizer and UndefinedBehaviorSanitizer
	+@$(MAKE) check $(ASAN)

tsan:   ## the tests of the layers that have threads, under ThreadSanitizer
	+@$(MAKE) tsan-tests $(TSAN)
tsan-tests: $(TSAN_TESTS)
	@$(CHECK) $^

sanitized: $(VENV)/.ready   ## the server itself under those sanitizers: load, clients that vanish, SIGTERM under load
	+@$(MAKE) build/asan/proa $(ASAN)
	+@$(MAKE) build/tsan/proa $(TSAN)
	@for m in asan tsan; do tools/sanitized.sh $(VENV)/bin/python build/$$m/proa || exit 1; done; echo "sanitized: ok"

# libjpeg-turbo's vector code computes with what lies beside its rows, and drops it: that is not told from a mistake.
valgrind:   ## the unit tests under valgrind's memcheck
	@tools/deps.sh build valgrind
	+@CHECK_TIMEOUT=900 PROA_CPU=avx2 JSIMD_FORCENONE=1 $(MAKE) check BUILD=build/valgrind CFLAGS="-O1 -g $(NOISE)" KERNEL= \
		RUN="valgrind -q --fair-sched=yes --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite"

TOOLS   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/tool/*.c))

e2e: all $(TOOLS) $(VENV)/.ready   ## end-to-end tests with the users' own clients (pytest tests/e2e)
	@tools/e2e.sh $(VENV)/bin/python $(BUILD)

docs: all   ## docs/serve.md and docs/metrics.md from the program's own tables
	$(Q)$(BUILD)/proa serve --help-markdown > docs/serve.md
	$(Q)$(BUILD)/proa serve --metrics-markdown > docs/metrics.md

features:   ## docs/features.md names only tests that exist, ran and passed
	@python3 tools/features.py $(wildcard $(BUILD)/logs)

fuzz: $(patsubst tests/fuzz/%.c,build/fuzz/%,$(FUZZSRC))   ## every fuzz target for T seconds (default 20) with libFuzzer, ASan and UBSan
	@T=$(T) tools/fuzz.sh $^
# The fuzzers' objects are made by this same file in build/fuzz; the links are only asked for there.  NULL + 0, which empty
# tensors give, is defined since C2y (N3322), and clang 14 reports it: hence no pointer-overflow check here.
ifneq ($(BUILD),build/fuzz)
$(patsubst tests/fuzz/%.c,build/fuzz/%,$(FUZZSRC)): fuzz-build ;
fuzz-build:
	@tools/deps.sh build fuzz
	+@$(MAKE) fuzzers BUILD=build/fuzz CC=clang LDFLAGS= KERNEL= \
		CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow -fno-sanitize=pointer-overflow -fno-sanitize-recover=all"
else
fuzzers: $(patsubst tests/fuzz/%.c,build/fuzz/%,$(FUZZSRC))
build/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o $(patsubst $(BUILD)/%,build/fuzz/%,$(TESTOBJ)) build/fuzz/libproa.a build/fuzz/.links
	$(call say,LD)
	$(Q)$(LINK) -fsanitize=fuzzer
endif

sim: $(patsubst %.c,$(BUILD)/%,$(wildcard tests/sim/sim_*.c))   ## the simulations with SIM_SEEDS seeds (default 10,000)
	@SIM_SEEDS=$(or $(SIM_SEEDS),10000) CHECK_TIMEOUT=900 tools/check.sh --log $(BUILD)/logs/sim $^

conformance: all $(VENV)/.ready   ## the ONNX backend node tests against the recorded floor (needs ../shared)
	@tools/conformance.sh $(BUILD)/proa $(VENV)

bench:  $(BENCHSRC:%.c=$(BUILD)/%)   ## benchmarks, as ratios measured in one run
	@for b in $^; do echo "== $$b"; $$b || exit 1; done

coverage:   ## line coverage of the unit tests by file (gcovr), HTML in build/coverage/report
	@tools/deps.sh build coverage
	+@$(MAKE) check BUILD=build/coverage LDFLAGS= KERNEL= CFLAGS="-O1 -g --coverage -fprofile-update=atomic $(NOISE)"
	@mkdir -p build/coverage/report
	@gcovr -r . --object-directory build/coverage -f 'src/' -s --html-details build/coverage/report/index.html \
		-j 2

# ---- analysis ----------------------------------------------------------------------------------------------------

tidy:   ## layers, sizes, banned calls, headers' contracts, clones: what the compiler does not check
	@tools/mutate --check
	@python3 tools/tidy.py

lint:   ## gcc -fanalyzer, clang-tidy, cppcheck, shellcheck
	@tools/deps.sh build lint
	+@$(MAKE) analyze BUILD=build/analyze CC=gcc CFLAGS="-O2 -g -fanalyzer"
	@printf '%s\n' $(SRC) | xargs -P $$(nproc) -I{} clang-tidy --quiet {} -- \
		$(filter-out -MMD -MP -Werror -Wno-maybe-uninitialized,$(ALL)) $(CLANG_WARN) -Xclang -analyzer-inline-max-stack-depth -Xclang 8 \
		$(ISA_avx512) 2>&1 | grep -v 'warnings\? generated' ; test $${PIPESTATUS[1]} = 0
	@# os/sys.c makes all its functions on one line; cppcheck takes them for one and follows calls through the mixture.
	@cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --suppress=ctunullpointer:src/os/sys_real.c \
		--suppress=ctuuninitvar:src/os/sys_real.c --error-exitcode=1 -j $$(nproc) -Isrc src
	@shellcheck tools/*.sh .ci/run
	@echo "lint: $(words $(SRC)) files ok"
analyze: $(OBJ)

clang:  ## build with clang and run the unit tests
	@tools/deps.sh build fuzz
	+@$(MAKE) all check BUILD=build/clang CC=clang

mutate: ## break the code by the hand mutants of tools/mutants.txt: every one must fail a test
	@$(if $(shell grep 'tests/e2e/' tools/mutants.txt),$(MAKE) $(VENV)/.ready &&) tools/mutate

soak: all $(VENV)/.ready   ## long runs against the program: clients that vanish, stall and reset; nothing is lost, nothing grows
	@for s in $(wildcard tests/soak/soak_*.py); do PROA=$(BUILD)/proa $(VENV)/bin/python $$s || exit 1; done; echo "soak: ok"

h2spec: all   ## the 145 cases of h2spec against the built program (needs h2spec, or Go to install it)
	@tools/h2spec.sh $(BUILD)/proa

deep:   ## everything longer; writes date, commit and figures to docs/deep.md
	+@tools/deep.sh

# ---- other machines, installation --------------------------------------------------------------------------------

cross:  ## build for aarch64 and pass the unit tests under qemu
	@tools/deps.sh build cross
	+@CHECK_TIMEOUT=900 $(MAKE) all check BUILD=build/aarch64 ROOT=build/deps-arm64/root CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar \
		RUN="qemu-aarch64-static -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=build/deps-arm64/root/usr/lib/aarch64-linux-gnu"

# Where yyjson is not the system's it goes to lib/proa, and the program is linked anew to look there.
$(BUILD)/install/proa: RPATH = $(if $(HERE),-Wl$(,)-rpath$(,)'$$ORIGIN/../lib/proa')
$(BUILD)/install/proa: $(BUILD)/src/cli/main.o $(BUILD)/libproa.a $(BUILD)/.links
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(LINK)
install: $(BUILD)/install/proa   ## install to $(DESTDIR)$(PREFIX), /usr/local by default
	install -D -s -m 755 $< $(DESTDIR)$(PREFIX)/bin/proa
	$(if $(HERE),install -D -m 644 $(HERE)/libyyjson.so.0 $(DESTDIR)$(PREFIX)/lib/proa/libyyjson.so.0)
	install -D -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/proa/LICENSE
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for u in proa.service proa.socket; do sed 's|@BINDIR@|$(PREFIX)/bin|' packaging/$$u > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$u || exit 1; done

deps:   ## install what is missing for building and testing (Debian 12 and 13)
	@tools/deps.sh build test

$(VENV)/.ready: tests/e2e/requirements.txt
	@echo "installing the Python clients of tests/e2e/requirements.txt into $(VENV)"
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-compile -r $<
	@touch $@

clean:  ## remove what was built; keep dependencies and the Python environment
	@find build -mindepth 1 -maxdepth 1 ! -name deps ! -name deps-arm64 ! -name venv -exec rm -rf {} +

help:   ## this list
	@awk -F ':.*## *' '/^[a-z0-9]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:
SHELL := /bin/bash
.PHONY: all demo test check sim asan tsan tsan-tests sanitized valgrind e2e features docs fuzz fuzz-build fuzzers conformance bench coverage \
        tidy lint analyze clang mutate soak h2spec deep cross install deps clean help
-include $(patsubst %.c,$(BUILD)/%.d,$(wildcard src/*/*.c tests/*.c tests/*/*.c bench/*.c))
