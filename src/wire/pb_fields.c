#include "wire/pb_fields.h"

void pb_fields_read(pb_fields *q, str message)
{
    pb_field f;
    *q = (pb_fields){.has = {false}};
    pb_init(&q->m, message.p, message.len);
    while (pb_next(&q->m, &f)) {
        if (f.number > PB_FIELDS_MAX) continue;
        q->at[f.number] = f;
        q->has[f.number] = true;
    }
}

bool pb_fields_has(const pb_fields *q, uint32_t number)
{
    INVARIANT(number >= 1 && number <= PB_FIELDS_MAX);
    return q->has[number];
}

str pb_fields_text(pb_fields *q, uint32_t number)
{
    return pb_fields_has(q, number) ? pb_text(&q->m, &q->at[number]) : STR("");
}

str pb_fields_bytes(pb_fields *q, uint32_t number)
{
    return pb_fields_has(q, number) ? pb_bytes(&q->m, &q->at[number]) : STR("");
}

uint64_t pb_fields_u64(pb_fields *q, uint32_t number)
{
    return pb_fields_has(q, number) ? pb_u64(&q->m, &q->at[number]) : 0;
}

bool pb_fields_bool(pb_fields *q, uint32_t number) { return pb_fields_u64(q, number) != 0; }
err_code pb_fields_check(const pb_fields *q, const char *what, err *e) { return pb_check(&q->m, what, e); }
