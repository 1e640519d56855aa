/* Loads any bytes as a model, plans it and runs it once on zeros, with memory so tight that no run takes long. */
#include "engine/model.h"

#include <string.h>

enum { MEMORY_MAX = 1 << 18, INPUTS_MAX = 16 };

static void shapes_of(const model *m, shape *shapes)
{
    for (uint32_t i = 0; i < model_input_count(m); i++) {
        const model_io *io = model_input(m, i);
        shapes[i] = io->shape;
        for (uint32_t d = 0; d < shapes[i].rank; d++) {
            if (shapes[i].dim[d] < 0) shapes[i].dim[d] = 1 + d % 2;
        }
    }
}

static void run_on_zeros(exec *x, const model *m)
{
    err e;
    for (uint32_t i = 0; i < model_input_count(m); i++) {
        tensor *t = exec_input(x, i);
        if (!t->data) continue;
        memset(t->data, 0, tensor_bytes(t));
        for (uint64_t k = 0; t->type == DT_STRING && k < tensor_count(t); k++) ((str *)t->data)[k] = STR("");
    }
    if (exec_run(x, NULL, &e)) return;
    for (uint32_t i = 0; i < model_output_count(m); i++) {
        const tensor *t = exec_output(x, i);
        INVARIANT(t->type != DT_NONE && (t->data || tensor_count(t) == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    model *m = NULL;
    exec *x = NULL;
    shape shapes[INPUTS_MAX];
    model_opts o = {.memory_max = MEMORY_MAX, .no_passes = size & 1};
    if (model_open_bytes(&m, (str){(const char *)data, size}, "fuzz", NULL, &o, &e)) {
        INVARIANT(e.text[0]);
        return 0;
    }
    if (model_input_count(m) <= INPUTS_MAX) {
        shapes_of(m, shapes);
        if (exec_take(&x, m, shapes, &e) == ERR_OK) {
            run_on_zeros(x, m);
            exec_give(x);
        }
    }
    model_free(m);
    return 0;
}
