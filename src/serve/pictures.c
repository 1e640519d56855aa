#include "serve/pictures.h"

#include "models/answer.h"
#include "models/pipeline.h"
#include "os/clock.h"
#include "wire/base64.h"

/* What read leaves for write. */
struct pictures {
    prepare_place *places;
    size_t count;
    uint32_t width, height;   /* of the model's input */
};

static const pipeline *pipeline_of(const infer *r) { return infer_pipeline(r); }

static bool came_for(const infer *r, uint32_t i)
{
    return pipeline_takes(pipeline_of(r), i) && r->inputs[i].type == DT_STRING;
}

bool pictures_came(const infer *r)
{
    const pipeline *p = pipeline_of(r);
    for (uint32_t i = 0; p && i < p->input_count; i++)
        if (came_for(r, i)) return true;
    return false;
}

/* [N], or [N,1] as models with a batch have it, or one as []. */
err_code pictures_set(infer *r, uint32_t i, const shape *s, err *e)
{
    char text[SHAPE_TEXT_MAX];
    bool ok = s->rank < 2 || (s->rank == 2 && s->dim[1] == 1);
    if (!ok)
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': shape: expected [N] of images, got '%s'",
                       STR_ARG(served_input(r->model, i)->name), shape_text(s, text));
    r->inputs[i] = tensor_make(DT_STRING, s, NULL);
    return ERR_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* A file as it came, or out of its base64 ("data:image/png;base64," may stand before it). */
static err_code file_of(str came, arena *work, str *ret, err *e)
{
    size_t len, at;
    str head, text = came;
    *ret = came;
    if (came.len == 0 || image_sniff(came) != IMAGE_UNKNOWN) return ERR_OK;
    if (str_starts(came, STR("data:")) && !str_cut(came, ',', &head, &text)) return ERR_OK;
    uint8_t *to = arena_push_raw(work, base64_room(text.len), 1);
    if (!to)
        return err_set(e, work->starved ? ERR_NOMEM : ERR_LIMIT, "no memory for %zu bytes of base64", text.len);
    bool begins = str_starts(text, STR("/9j/")) || str_starts(text, STR("iVBORw"));   /* as those of JPEG and PNG do */
    if (!base64_read(text, to, &len, &at))
        return begins ? err_set(e, ERR_INVALID, "expected base64, got something else at byte %zu of %zu", at, text.len)
                      : ERR_OK;   /* the decoder says what it is instead */
    str file = {(const char *)to, len};
    if (image_kind_name(file) || !image_kind_name(came)) *ret = file;
    return ERR_OK;
}

/* For the metrics, which are the loop's. */
static void refused_for(infer *r, metric_pictures why) { r->picture_refused = (uint8_t)(why + 1); }

/* Which one it was; and what is wrong with a picture is wrong with the request. */
static err_code blame(infer *r, size_t at, bool known, err_code rc, err *e)
{
    static const char own[] = "image: ";
    bool named = str_starts(str_of(e->text), STR("image: "));
    err inner = *e;
    err_code code = rc == ERR_TOO_LARGE ? ERR_INVALID : rc == ERR_LIMIT ? ERR_TOO_LARGE : rc;
    if (rc == ERR_TOO_LARGE) refused_for(r, METRIC_PICTURES_PIXELS);
    else if (rc == ERR_LIMIT) refused_for(r, METRIC_PICTURES_BYTES);
    else if (rc == ERR_INVALID || rc == ERR_UNSUPPORTED)
        refused_for(r, known ? METRIC_PICTURES_BROKEN : METRIC_PICTURES_KIND);
    return err_set(e, code, "image %zu: %s", at, inner.text + (named ? sizeof own - 1 : 0));
}

/* ---- one input --------------------------------------------------------------------------------------------------- */

typedef struct {
    infer *r;
    const pipeline_input *in;
    const prepare *p;
    const str *files;
    size_t count;
    arena work;               /* of one picture */
    uint64_t pixels;          /* so far */
    uint32_t width, height;   /* of the rows */
    size_t row_bytes;
    uint8_t *rows;
    prepare_place *places;
} taker;

static err_code still_wanted(const infer *r, err *e)
{
    if (atomic_load_explicit(&r->item.cancelled, memory_order_relaxed))
        return err_set(e, ERR_CANCELLED, "cancelled while its pictures were read");
    if (r->deadline_us && clock_now_us() >= r->deadline_us)
        return err_set(e, ERR_TIMEOUT, "the deadline passed while its pictures were read");
    return ERR_OK;
}

/* The first says how large the rows are. */
static err_code rows_new(taker *t, const prepare_picture *first, err *e)
{
    size_t bytes;
    t->row_bytes = prepare_bytes(t->p, first);
    t->width = first->width;
    t->height = first->height;
    if (__builtin_mul_overflow(t->row_bytes, t->count, &bytes) ||
        __builtin_add_overflow(bytes, t->count * sizeof(prepare_place) + IMAGE_SLACK, &bytes))
        return err_set(e, ERR_TOO_LARGE, "images: expected fewer than %zu", t->count);
    infer_extend(t->r, bytes);
    t->rows = arena_push_raw(&t->r->memory, t->row_bytes * t->count, 64);
    t->places = arena_new(&t->r->memory, prepare_place, t->count);
    if (t->rows && t->places) return ERR_OK;
    if (!t->r->memory.starved) refused_for(t->r, METRIC_PICTURES_BYTES);
    return err_set(e, t->r->memory.starved ? ERR_NOMEM : ERR_TOO_LARGE,
                   "images: expected what fits in %zu bytes of memory, got %zu of %ux%u pixels", t->r->memory.limit,
                   t->count, t->width, t->height);
}

static err_code count_pixels(taker *t, const prepare_picture *picture, err *e)
{
    uint64_t most = t->p->pixels_max ? t->p->pixels_max : IMAGE_PIXELS_MAX;
    t->pixels += (uint64_t)picture->place.width * picture->place.height;
    if (t->pixels <= PICTURES_TIMES * most) return ERR_OK;
    return err_set(e, ERR_TOO_LARGE, "expected at most %llu pixels in all images of a request, got more",
                   (unsigned long long)(PICTURES_TIMES * most));
}

static err_code one_take(taker *t, size_t i, err *e)
{
    str file;
    prepare_picture picture;
    err_code rc = file_of(t->files[i], &t->work, &file, e);
    bool known = rc || image_sniff(file) != IMAGE_UNKNOWN;   /* base64 that breaks off began as one of them */
    if (!rc) rc = prepare_read(t->p, file, &t->work, &picture, e);
    if (!rc) rc = count_pixels(t, &picture, e);
    if (rc) return blame(t->r, i, known, rc, e);
    if (i == 0 && (rc = rows_new(t, &picture, e)) != ERR_OK) return rc;
    if (picture.width != t->width || picture.height != t->height)
        return err_set(e, ERR_INVALID, "image %zu: expected %ux%u pixels when prepared, as image 0, got %ux%u", i,
                       t->width, t->height, picture.width, picture.height);
    prepare_put(t->p, &picture, t->rows + i * t->row_bytes);
    t->places[i] = picture.place;
    return ERR_OK;
}

static shape shape_of(const taker *t)
{
    int64_t h = t->height, w = t->width, c = t->p->channels, n = (int64_t)t->count;
    int64_t first[] = {n, c, h, w}, last[] = {n, h, w, c}, *dims = t->p->channels_last ? last : first;
    return t->in->batch ? shape_make(4, dims) : shape_make(3, dims + 1);
}

static err_code input_put(const taker *t, uint32_t i, err *e)
{
    infer *r = t->r;
    shape s = shape_of(t);
    bool joined = !r->model->pipeline;   /* then it is made for the member, which looks at it */
    if (joined) r->inputs[i] = tensor_make(t->p->type, &s, NULL);
    err_code rc = joined ? ERR_OK : infer_input_set(r, i, t->p->type, &s, e);
    if (!rc) r->inputs[i].data = t->rows;
    return rc;
}

static err_code input_take(infer *r, uint32_t i, err *e)
{
    const pipeline_input *in = &pipeline_of(r)->inputs[i];
    const model_io *io = served_input(r->model, i);
    taker t = {.r = r, .in = in, .p = in->image, .files = r->inputs[i].data,
               .count = (size_t)tensor_count(&r->inputs[i])};
    err_code rc = ERR_OK;
    if (t.count == 0 || (t.count > 1 && !in->batch))
        return err_set(e, ERR_INVALID, "input '" STR_FMT "': expected %s, got %zu", STR_ARG(io->name),
                       in->batch ? "images" : "one image", t.count);
    if (t.count > 1 && io->shape.dim[0] > 0 && (size_t)io->shape.dim[0] != t.count)
        return err_set(e, ERR_INVALID,
                       "input '" STR_FMT "': expected a batch of %lld, as the model takes, got %zu images",
                       STR_ARG(io->name), (long long)io->shape.dim[0], t.count);
    size_t used = r->memory.total;
    arena_init(&t.work, NULL, 0, r->memory_most > used ? r->memory_most - used : 0);
    for (size_t k = 0; k < t.count && !rc; k++) {
        rc = still_wanted(r, e);
        if (!rc) rc = one_take(&t, k, e);
        arena_reset(&t.work);
    }
    arena_fini(&t.work);
    if (!rc) rc = input_put(&t, i, e);
    if (rc || (int32_t)i != pipeline_of(r)->image) return rc;
    r->pictures = arena_new(&r->memory, pictures, 1);
    if (!r->pictures) return err_set(e, ERR_NOMEM, "images: no memory");
    *r->pictures = (pictures){t.places, t.count, t.width, t.height};
    return ERR_OK;
}

err_code pictures_take(infer *r, err *e)
{
    const pipeline *p = pipeline_of(r);
    err_code rc = ERR_OK;
    if (!pictures_came(r)) return ERR_OK;
    if (r->on_loop) {
        r->again = true;
        return err_set(e, ERR_UNAVAILABLE, "images are for a worker");   /* nobody sees it */
    }
    r->pictured = true;
    for (uint32_t i = 0; i < p->input_count && !rc; i++)
        if (came_for(r, i)) rc = input_take(r, i, e);
    return rc;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

bool pictures_answer(const infer *r)
{
    return pictures_output_count(r) && (r->pictured || pictures_came(r));
}

uint32_t pictures_output_count(const infer *r)
{
    return pipeline_of(r) ? pipeline_of(r)->answer.output_count : 0;
}

const model_io *pictures_output(const infer *r, uint32_t i) { return &pipeline_of(r)->answer.outputs[i]; }

void pictures_want(const infer *r, bool *outputs)
{
    const pipeline *of = pipeline_of(r);
    INVARIANT(of);
    const pipeline_answer *p = &of->answer;
    outputs[p->scores] = true;
    if (p->kind == ANSWER_BOXES) outputs[p->boxes] = true;
}

/* V2 says which outputs; V1 has the answer to pictures alone. */
static bool is_asked(const infer *r)
{
    for (uint32_t i = 0; i < r->want_count; i++)
        if (r->wants[i].output >= served_output_count(r->model)) return true;
    return r->want_count == 0 && r->pictured;
}

static err_code outputs_make(infer *r, tensor *ret, err *e)
{
    const pipeline *p = pipeline_of(r);
    INVARIANT(p);
    answer_from from = {.scores = &r->outputs[p->answer.scores], .boxes = &r->outputs[p->answer.boxes]};
    const shape *s = p->image >= 0 ? &r->inputs[p->image].shape : NULL;
    if (r->pictures) {
        from.places = r->pictures->places;
        from.place_count = r->pictures->count;
        from.width = r->pictures->width;
        from.height = r->pictures->height;
    } else if (s && s->rank >= 3) {
        const int64_t *row = s->dim + (s->rank - 3);
        bool last = p->inputs[p->image].image->channels_last;
        from.height = (uint32_t)row[last ? 0 : 1];
        from.width = (uint32_t)row[last ? 1 : 2];
    }
    infer_extend(r, SIZE_MAX);
    return answer_make(&p->answer, &from, &r->memory, ret, e);
}

err_code pictures_outputs(infer *r, tensor *ret, err *e)
{
    if (!pictures_output_count(r) || !is_asked(r)) return ERR_OK;
    return outputs_make(r, ret, e);
}

void pictures_print(infer *r)
{
    const pipeline_answer *p = &pipeline_of(r)->answer;
    const tensor *made = r->outputs + served_output_count(r->model);
    size_t rows = answer_rows(p, made);
    buf_put_byte(&r->reply, '[');
    for (size_t i = 0; i < rows; i++) {
        if (i) buf_put_byte(&r->reply, ',');
        answer_print(&r->reply, p, made, i);
    }
    buf_put_byte(&r->reply, ']');
}
