#include "models/served.h"

#include "models/ensemble_run.h"
#include "models/sequencer.h"

enum { SERVED_HEAP_BYTES = 24 << 10 };   /* about: configuration, queue, batcher, shapes */

const model_io *served_input(const served *s, uint32_t i)
{
    INVARIANT(i < s->ios.input_count);
    return &s->ios.inputs[i];
}

const model_io *served_output(const served *s, uint32_t i)
{
    INVARIANT(i < s->ios.output_count);
    return &s->ios.outputs[i];
}

static int32_t index_of(const model_io *all, uint32_t count, str name)
{
    for (uint32_t i = 0; i < count; i++)
        if (str_eq(all[i].name, name)) return (int32_t)i;
    return -1;
}

int32_t served_input_index(const served *s, str name) { return index_of(s->ios.inputs, s->ios.input_count, name); }
int32_t served_output_index(const served *s, str name) { return index_of(s->ios.outputs, s->ios.output_count, name); }

void served_begin(served *s, queue_item *item)
{
    ensemble_extent none = {0};
    item->run = s->ensemble ? ensemble_run_begin(s->ensemble, &none) : NULL;
}

err_code served_push(served *s, queue_item *item, err *e)
{
    if (s->sequencer) return sequencer_push(s->sequencer, item, e);
    if (!s->ensemble) return queue_push(s->queue, item, e);
    if (!item->run) return err_set(e, ERR_NOMEM, "no memory for the steps of an ensemble");
    return ensemble_run_push(item->run, item, e);
}

void served_cancel(queue_item *item)
{
    queue_cancel(item);
    if (item->run) ensemble_run_cancel(item->run);
    if (item->turn) sequencer_cancel(item);
}

void served_end(queue_item *item)
{
    if (item->run) ensemble_run_end(TAKE(item->run));
    if (item->turn) sequencer_end(item);
}

bool served_next_step(const queue_item *item, uint32_t *at, served_asked *ret)
{
    return item->run && ensemble_run_next(item->run, at, ret);
}

bool served_quiet(served *s)
{
    if (!s->queue) return true;
    return atomic_load(&s->held) <= 1 && (!s->sequencer || sequencer_quiet(s->sequencer)) && queue_quiet(s->queue);
}

size_t served_held_bytes(const served *s)
{
    size_t lanes = s->metrics.lane_count * sizeof(metrics_lane);
    size_t bytes = sizeof *s + lanes + arena_held(&s->memory) + SERVED_HEAP_BYTES;
    return s->model ? bytes + model_held_bytes(s->model) : bytes;
}

size_t served_resting_bytes(const served *s) { return s->model ? model_resting_bytes(s->model) : 0; }

void served_spare(const served *s)
{
    if (s->model) model_trim(s->model, false);
}

bool served_busy(const served *s)
{
    return atomic_load(&s->held) > 1 || atomic_load(&s->metrics.sequences) > 0 || atomic_load(&s->metrics.backlog) > 0;
}

uint64_t served_used_us(const served *s)
{
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < s->metrics.lane_count; i++) {
        uint64_t ns = atomic_load_explicit(&s->metrics.lanes[i].last_ns, memory_order_relaxed);
        if (ns > last_ns) last_ns = ns;
    }
    return last_ns / 1000;
}

size_t served_bytes(const served *s) { return s->model ? model_bytes(s->model) : 0; }
const char *served_platform(const served *s) { return s->model ? "onnx_onnxv1" : "ensemble"; }
bool served_names_itself(const served *s) { return s->ensemble || s->sequencer; }
