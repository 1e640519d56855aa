#include "cli/flags.h"

#include <stdio.h>
#include <string.h>

enum { FLAGS_MAX = 64 };

static err_code unknown(const flag *flags, size_t count, str name, err *e)
{
    const char *names[FLAGS_MAX];
    INVARIANT(count <= FLAGS_MAX);
    for (size_t i = 0; i < count; i++) names[i] = flags[i].name;
    const char *near = str_nearest(name, names, count);
    return near ? err_set(e, ERR_INVALID, "--" STR_FMT ": unknown flag, did you mean --%s?", STR_ARG(name), near)
                : err_set(e, ERR_INVALID, "--" STR_FMT ": unknown flag", STR_ARG(name));
}

static err_code set(const flag *f, const char *text, err *e)
{
    uint64_t number;
    flag_texts *list;
    switch (f->kind) {
    case FLAG_SWITCH: *(bool *)f->to = true; return ERR_OK;
    case FLAG_TEXT: *(const char **)f->to = text; return ERR_OK;
    case FLAG_NUMBER:
        if (!str_u64(str_of(text), &number) || number < f->min || number > f->max)
            return err_set(e, ERR_INVALID, "--%s: expected a number in %llu..%llu, got '%s'", f->name,
                           (unsigned long long)f->min, (unsigned long long)f->max, text);
        *(uint64_t *)f->to = number;
        return ERR_OK;
    case FLAG_TEXTS:
        list = f->to;
        if (list->count == FLAG_TEXTS_MAX)
            return err_set(e, ERR_LIMIT, "--%s: given more than %d times", f->name, FLAG_TEXTS_MAX);
        list->items[list->count++] = text;
        return ERR_OK;
    }
    return ERR_OK;
}

static err_code flag_parse(const flag *flags, size_t count, const char *text, const char *next, bool *ret_took_next,
                           err *e)
{
    str name = str_of(text), value = {0};
    bool joined = str_cut(str_of(text), '=', &name, &value);
    *ret_took_next = false;
    for (size_t i = 0; i < count; i++) {
        if (!str_is(name, flags[i].name)) continue;
        if (flags[i].kind == FLAG_SWITCH && joined)
            return err_set(e, ERR_INVALID, "--%s: takes no value", flags[i].name);
        if (flags[i].kind == FLAG_SWITCH || joined)
            return set(&flags[i], value.p, e); /* value ends where argv's string does */
        if (!next) return err_set(e, ERR_INVALID, "--%s: expected a value, got none", flags[i].name);
        *ret_took_next = true;
        return set(&flags[i], next, e);
    }
    return unknown(flags, count, name, e);
}

err_code flags_parse(const flag *flags, size_t count, int argc, char **argv, flag_operands *operands, err *e)
{
    bool only_operands = false;
    operands->count = 0;
    for (int i = 0; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
            continue;
        }
        if (!only_operands && strncmp(argv[i], "--", 2) == 0) {
            bool took_next;
            err_code rc = flag_parse(flags, count, argv[i] + 2, i + 1 < argc ? argv[i + 1] : NULL, &took_next, e);
            if (rc) return rc;
            i += took_next;
            continue;
        }
        if (operands->count == operands->max)
            return err_set(e, ERR_INVALID, "'%s': expected at most %zu operands", argv[i], operands->max);
        operands->at[operands->count++] = argv[i];
    }
    return ERR_OK;
}

err_code flags_check(const flag *flags, size_t count, err *e)
{
    for (size_t i = 0; i < count; i++) {
        const flag *f = &flags[i];
        INVARIANT(!f->needed || f->kind == FLAG_TEXT);
        if (f->needed && !*(const char **)f->to)
            return err_set(e, ERR_INVALID, "--%s: expected %s, got none", f->name, f->value);
    }
    return ERR_OK;
}

void flags_help(const flag *flags, size_t count, char *text, size_t room)
{
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < count && n < room; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s %s", flags[i].name, flags[i].value ? flags[i].value : "");
        int wrote = snprintf(text + n, room - n, "  %-28s %s\n", left, flags[i].help);
        n += wrote > 0 ? (size_t)wrote : 0;
    }
}
