#include "serve/schedule.h"

typedef enum { WANTS_NUMBER, WANTS_BOOL, WANTS_ID } wants;

static const struct {
    const char *name;
    wants wants;
} rows[] = {
    {"timeout", WANTS_NUMBER},      {"priority", WANTS_NUMBER},   {"sequence_id", WANTS_ID},
    {"sequence_start", WANTS_BOOL}, {"sequence_end", WANTS_BOOL}, {"triton_enable_empty_final_response", WANTS_BOOL},
};

static bool fits(wants w, parameter_kind k)
{
    switch (w) {
    case WANTS_NUMBER: return k == PARAMETER_NUMBER;
    case WANTS_BOOL: return k == PARAMETER_BOOL;
    default: return k == PARAMETER_NUMBER || k == PARAMETER_TEXT;
    }
}

/* From when its last byte came. */
static void timeout_set(infer *r, uint64_t timeout_us)
{
    uint64_t at_us;
    if (timeout_us == 0 || __builtin_add_overflow(r->times.since / 1000, timeout_us, &at_us)) return;
    if (r->deadline_us && r->deadline_us <= at_us) return;
    r->deadline_us = at_us;
    r->deadline_own = true;
}

err_code schedule_take(infer *r, str name, const parameter *p, err *e)
{
    static const char *const expected[] = {"a number of 0 or more", "true or false",
                                           "a number of 0 or more, or a string"};
    if (p->kind == PARAMETER_NONE) return ERR_OK;
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        if (!str_is(name, rows[i].name)) continue;
        if (!fits(rows[i].wants, p->kind))
            return err_set(e, ERR_INVALID, "parameters: %s: expected %s", rows[i].name, expected[rows[i].wants]);
        if (i == 0) timeout_set(r, p->number);
        return ERR_OK;
    }
    if (str_starts(name, STR("triton_")))
        return err_set(e, ERR_INVALID, "parameter keys starting with 'triton_' are reserved for Triton usage only");
    return ERR_OK;
}
