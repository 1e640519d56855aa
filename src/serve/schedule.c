#include "serve/schedule.h"

typedef enum { WANTS_NUMBER, WANTS_BOOL, WANTS_ID } wants;

enum { ROW_TIMEOUT, ROW_PRIORITY, ROW_ID, ROW_START, ROW_END };   /* the last is checked alone */
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

static void sequence_set(infer *r, size_t row, const parameter *p)
{
    if (row == ROW_ID && p->kind == PARAMETER_TEXT) r->item.sequence.text = p->text;
    else if (row == ROW_ID) r->item.sequence.number = p->number;
    else if (row == ROW_START) r->item.sequence.start = p->on;
    else if (row == ROW_END) r->item.sequence.end = p->on;
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
        if (i == ROW_TIMEOUT) r->item.timeout_us = p->number;
        if (i == ROW_PRIORITY) r->item.priority = p->number;
        sequence_set(r, i, p);
        return ERR_OK;
    }
    if (str_starts(name, STR("triton_")))
        return err_set(e, ERR_INVALID, "parameter keys starting with 'triton_' are reserved for Triton usage only");
    if (p->kind == PARAMETER_OTHER)
        return err_set(e, ERR_INVALID,
                       "parameter '" STR_FMT "' has invalid type. It should be either 'int', 'bool', or 'string'",
                       STR_ARG(name));
    return ERR_OK;
}
