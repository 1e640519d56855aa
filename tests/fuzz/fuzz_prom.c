/* Property: any text is read to its end or to an error with a text; every view lies inside it; labels are
 * NUL-terminated within their room. */
#include "test.h"
#include "wire/prom.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prom p;
    prom_sample s;
    err e = {.text = ""};
    bool found = size > 0;
    const char *text = (const char *)data;
    prom_init(&p, (str){text, size});
    while (found) {
        char value[16];
        if (prom_next(&p, &s, &found, &e)) {
            INVARIANT(e.text[0]);
            return 0;
        }
        if (!found) break;
        INVARIANT(s.name.len > 0 && s.name.p >= text && s.name.p + s.name.len <= text + size);
        INVARIANT(s.labels.len == 0 || (s.labels.p >= text && s.labels.p + s.labels.len <= text + size));
        if (prom_label(s.labels, "le", value, sizeof value)) INVARIANT(memchr(value, 0, sizeof value));
    }
    return 0;
}
