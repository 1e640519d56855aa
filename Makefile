# make help lists the targets.
CC      ?= cc
BUILD   ?= build
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wwrite-strings -Wformat=2 -Wimplicit-fallthrough -Werror
HARDEN  := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero -fvisibility=hidden
CFLAGS  ?= -O2 -g $(HARDEN)
LDFLAGS ?= -Wl,-z,relro,-z,now
ALL     := -std=gnu11 -D_GNU_SOURCE -Isrc -Itests -fno-omit-frame-pointer -MMD -MP $(WARN)
DEPS    := build/deps
ALL     += $(addprefix -I,$(wildcard $(DEPS)/root/usr/include))
LIBS    := $(foreach d,$(wildcard $(DEPS)/root/usr/lib/x86_64-linux-gnu),-L$(d) -Wl,-rpath,$(abspath $(d))) -l:libllhttp.a -lyyjson -lyaml -lm -lpthread
SRC     := $(wildcard src/*/*.c)
LIB     := $(filter-out src/cli/main.c,$(SRC))
OBJ     := $(LIB:%.c=$(BUILD)/%.o)
TESTS   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))

all: $(BUILD)/proa
$(BUILD)/proa: $(BUILD)/src/cli/main.o $(BUILD)/libproa.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@
$(BUILD)/libproa.a: $(OBJ)
	@rm -f $@
	$(AR) rcs $@ $^
check: $(TESTS)
	@for t in $(TESTS); do $$t || exit 1; done
$(BUILD)/%_avx2.o: ALL += -mavx2 -mfma -mf16c
$(BUILD)/%_avx512.o: ALL += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL) $(CFLAGS) -c $< -o $@
$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/tests/test.o $(BUILD)/libproa.a
	@mkdir -p $(@D)
	$(CC) $(ALL) $(CFLAGS) $(LDFLAGS) $(filter %.c %.o %.a,$^) $(LIBS) -o $@
tidy:
	python3 tools/tidy.py
.SECONDARY:
.PHONY: all check tidy
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
