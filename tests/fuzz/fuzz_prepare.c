/* Property: any text is a declaration whose rows can be made, within their bounds, or an error with a text; the same
 * text read as labels gives names that can be read. */
#include "media/labels.h"
#include "media/prepare.h"
#include "test.h"

static void put(const prepare *p, arena *a)
{
    static const uint8_t png[] =
        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55"
        "\0\0\0\nIDAT\x78\x9c\x63\x38\x01\0\0\xca\0\xc9\x99\xca\x5d\x7e\0\0\0\0IEND\xae\x42\x60\x82";
    prepare_picture v;
    err e = {.text = ""};
    if (prepare_read(p, (str){(const char *)png, sizeof png - 1}, a, &v, &e)) {
        INVARIANT(e.text[0]);
        return;
    }
    size_t bytes = prepare_bytes(p, &v);
    INVARIANT(v.left + v.im.width <= v.width && v.top + v.im.height <= v.height);
    void *row = bytes < 1 << 20 ? arena_push_raw(a, bytes, 64) : NULL;
    if (row) prepare_put(p, &v, row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena a;
    err e = {.text = ""};
    prepare p;
    labels l;
    str text = {(const char *)data, size};
    if (size > 1 << 16) return 0;
    arena_init(&a, NULL, 0, 4 << 20);
    if (prepare_parse(text, "fuzz", &a, &p, &e) == ERR_OK) put(&p, &a);
    else INVARIANT(e.text[0]);
    arena_reset(&a);
    e.text[0] = 0;
    if (labels_parse(text, "fuzz", &a, &l, &e) == ERR_OK) INVARIANT(labels_name(&l, l.count).len == 0);
    else INVARIANT(e.text[0]);
    arena_fini(&a);
    return 0;
}
