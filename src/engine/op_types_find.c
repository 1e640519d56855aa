#include "engine/op_types.h"

#include <string.h>

static int compare(const char *z, str s)
{
    size_t n = strlen(z), least = n < s.len ? n : s.len;
    int by = least ? memcmp(z, s.p, least) : 0;
    return by ? by : n < s.len ? -1 : n > s.len;
}

/* As strcmp() would order them, the domain first. */
static int order(const op_types *t, str domain, str name)
{
    int by = compare(t->domain, domain);
    return by ? by : compare(t->name, name);
}

const op_types *op_types_find(str domain, str name, int64_t opset)
{
    const op_types *from = op_types_rows, *stop = from + op_types_count, *to = stop, *best = NULL;
    while (from < to) {
        const op_types *middle = from + (to - from) / 2;
        if (order(middle, domain, name) < 0) from = middle + 1;
        else to = middle;
    }
    for (; from < stop && order(from, domain, name) == 0; from++) {
        if (from->since <= opset) best = from;
    }
    return best;
}

bool op_types_input(const op_types *t, uint32_t input, uint32_t *ret_set, uint32_t *ret_var)
{
    size_t count = strlen(t->inputs) / OP_TYPES_STEP;
    if (input >= count && (!t->variadic || count == 0)) return false;
    const char *p = t->inputs + (input < count ? input : count - 1) * OP_TYPES_STEP;
    *ret_set = op_type_sets[(p[0] - 'A') * 26 + (p[1] - 'A')];
    *ret_var = (uint32_t)(p[2] - '0');
    return true;
}

void op_types_output(const op_types *t, uint32_t output, uint32_t *ret_type, uint32_t *ret_var)
{
    size_t len = strlen(t->outputs), repeats = len && t->outputs[len - 1] == '*', count = len - repeats;
    char c = output < count ? t->outputs[output] : repeats && count ? t->outputs[count - 1] : '0';
    *ret_type = c >= 'a' ? (uint32_t)(c - 'a') + 1 : 0;
    *ret_var = c >= 'a' ? 0 : (uint32_t)(c - '0');
}
