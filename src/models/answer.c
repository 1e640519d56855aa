#include "models/answer.h"

#include "media/rank.h"
#include "wire/decimal.h"
#include "wire/json_text.h"

#include <math.h>

static err_code no_memory(err *e) { return err_set(e, ERR_NOMEM, "answer: no memory"); }

/* Room for each part: [rows, most]. */
typedef struct {
    const pipeline_answer *p;
    const answer_from *from;
    arena *memory;
    size_t rows, most;
    int64_t *counts, *indexes;
    float *scores, *boxes;
    str *labels;
} maker;

static err_code room(maker *m, err *e)
{
    size_t n = m->rows * m->most;
    m->counts = arena_new(m->memory, int64_t, m->rows + 1);
    m->indexes = arena_new(m->memory, int64_t, n + 1);
    m->scores = arena_new(m->memory, float, n + 1);
    m->boxes = arena_new(m->memory, float, m->p->kind == ANSWER_BOXES ? 4 * n + 1 : 1);
    m->labels = arena_new(m->memory, str, m->p->labels.count ? n + 1 : 1);
    return m->counts && m->indexes && m->scores && m->boxes && m->labels ? ERR_OK : no_memory(e);
}

static void put(const maker *m, size_t at, size_t index, float score)
{
    m->indexes[at] = (int64_t)index;
    m->scores[at] = score;
    if (m->p->labels.count) m->labels[at] = labels_name(&m->p->labels, index);
}

static void give(const maker *m, size_t most, tensor ret[ANSWER_OUTPUTS])
{
    void *const data[] = {[ANSWER_LABEL] = m->labels, [ANSWER_INDEX] = m->indexes, [ANSWER_SCORE] = m->scores,
                          [ANSWER_BOX] = m->boxes, [ANSWER_COUNT] = m->counts};
    for (uint32_t i = 0; i < m->p->output_count; i++) {
        shape s = m->p->outputs[i].shape;
        s.dim[0] = (int64_t)m->rows;
        if (s.rank > 1) s.dim[1] = (int64_t)most;
        ret[i] = tensor_make(m->p->outputs[i].type, &s, data[m->p->parts[i]]);
    }
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

static void floats_of(const tensor *t, size_t first, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = t->type == DT_F16 ? dtype_f16_to_f32(((const uint16_t *)t->data)[first + i])
                                  : ((const float *)t->data)[first + i];
}

static err_code classes_make(maker *m, tensor ret[ANSWER_OUTPUTS], err *e)
{
    const tensor *t = m->from->scores;
    char text[SHAPE_TEXT_MAX];
    uint64_t count = tensor_count(t);
    m->rows = t->shape.rank > 1 ? (size_t)t->shape.dim[0] : 1;
    size_t each = m->rows ? (size_t)(count / m->rows) : 0;
    if (t->shape.rank == 0 || (m->from->place_count && m->from->place_count != m->rows))
        return err_set(e, ERR_INTERNAL, "answer: classes: expected an output of [%zu, classes], got %s",
                       m->from->place_count, shape_text(&t->shape, text));
    if (each > UINT32_MAX) return err_set(e, ERR_TOO_LARGE, "answer: expected at most %u classes", UINT32_MAX);
    m->most = m->p->top < each ? m->p->top : each;
    float *row = arena_push_raw(m->memory, (each + 1) * sizeof *row, _Alignof(float));
    uint32_t *best = arena_push_raw(m->memory, (m->most + 1) * sizeof *best, _Alignof(uint32_t));
    err_code rc = row && best ? room(m, e) : no_memory(e);
    for (size_t r = 0; r < m->rows && !rc; r++) {
        floats_of(t, r * each, each, row);
        if (m->p->softmax) rank_softmax(row, row, each);
        size_t k = rank_top(row, each, m->most, best);
        m->counts[r] = (int64_t)k;
        for (size_t i = 0; i < k; i++) put(m, r * m->most + i, best[i], row[best[i]]);
    }
    if (!rc) give(m, m->most, ret);
    return rc;
}

/* ---- boxes ------------------------------------------------------------------------------------------------------- */

/* Where one picture's values are: value v of candidate i lies at values[i * step + v * stride]. */
typedef struct {
    const float *corners, *scores, *objectness;
    size_t candidates, classes;
    size_t corner_step, corner_stride, score_step, score_stride;
} found;

/* Shapes are the model's to say, and may be known only now. */
static err_code found_check(const maker *m, found *ret, size_t *ret_corners_row, size_t *ret_scores_row, err *e)
{
    const pipeline_answer *p = m->p;
    const shape *b = &m->from->boxes->shape, *s = &m->from->scores->shape;
    bool together = p->boxes == p->scores;
    char text[2][SHAPE_TEXT_MAX];
    bool ok = b->rank == 3 && (s->rank == 3 || s->rank == 2) && b->dim[0] == s->dim[0];
    if (ok && m->from->place_count) ok = (size_t)b->dim[0] == m->from->place_count;
    size_t values = ok ? (size_t)b->dim[p->transposed ? 1 : 2] : 0;
    found f = {.candidates = ok ? (size_t)b->dim[p->transposed ? 2 : 1] : 0};
    f.corner_step = p->transposed ? 1 : values;
    f.corner_stride = p->transposed ? f.candidates : 1;
    *ret_corners_row = f.candidates * values;
    if (together) {
        size_t before = p->objectness ? 5 : 4;
        ok = ok && values > before;
        f.classes = values - before;
        f.score_step = f.corner_step;
        f.score_stride = f.corner_stride;
        *ret_scores_row = *ret_corners_row;
    } else if (ok) {
        bool one = s->rank == 2;
        f.classes = one ? 1 : (size_t)s->dim[p->transposed ? 1 : 2];
        ok = values == 4 && f.classes > 0 && (size_t)s->dim[one || !p->transposed ? 1 : 2] == f.candidates;
        f.score_step = one || p->transposed ? 1 : f.classes;
        f.score_stride = one ? 0 : p->transposed ? f.candidates : 1;
        *ret_scores_row = f.candidates * f.classes;
    }
    if (!ok)
        return err_set(e, ERR_INTERNAL, "answer: boxes: expected outputs of the declared form for %zu pictures, got %s "
                       "and %s", m->from->place_count, shape_text(b, text[0]), shape_text(s, text[1]));
    *ret = f;
    return ERR_OK;
}

static found of_picture(const maker *m, found f, size_t row, size_t corners_row, size_t scores_row)
{
    const float *boxes = m->from->boxes->data, *scores = m->from->scores->data;
    f.corners = boxes + row * corners_row;
    f.scores = scores + row * scores_row;
    if (m->p->boxes != m->p->scores) return f;
    if (m->p->objectness) f.objectness = f.scores + 4 * f.score_stride;
    f.scores += (m->p->objectness ? 5 : 4) * f.score_stride;
    return f;
}

/* The best class of a candidate that is not the background. */
static float best_class(const maker *m, const found *f, size_t i, uint32_t *ret_class)
{
    const float *s = f->scores + i * f->score_step;
    float best = -INFINITY;
    *ret_class = 0;
    for (size_t c = 0; c < f->classes; c++) {
        if ((int64_t)c == m->p->background || !(s[c * f->score_stride] > best)) continue;
        best = s[c * f->score_stride];
        *ret_class = (uint32_t)c;
    }
    return f->objectness ? best * f->objectness[i * f->score_step] : best;
}

/* In pixels of the model's input. */
static box box_at(const maker *m, const found *f, size_t i)
{
    const float *c = f->corners + i * f->corner_step;
    size_t n = f->corner_stride;
    float x = m->p->relative ? (float)m->from->width : 1, y = m->p->relative ? (float)m->from->height : 1;
    if (m->p->center) return box_of_center(c[0] * x, c[n] * y, c[2 * n] * x, c[3 * n] * y);
    return (box){c[0] * x, c[n] * y, c[2 * n] * x, c[3 * n] * y};
}

static float held(double v, double most)
{
    return (float)(v > most ? most : v < 0 ? 0 : v);
}

/* In pixels of the picture, and held to it. */
static void box_back(const maker *m, size_t row, box b, float to[4])
{
    const prepare_place *p = m->from->places ? &m->from->places[row] : NULL;
    prepare_place whole = {.width = m->from->width, .height = m->from->height, .right = 1, .down = 1};
    if (!p) p = &whole;
    to[0] = held(p->left + (double)b.x1 * p->right, p->width);
    to[1] = held(p->top + (double)b.y1 * p->down, p->height);
    to[2] = held(p->left + (double)b.x2 * p->right, p->width);
    to[3] = held(p->top + (double)b.y2 * p->down, p->height);
}

/* Of the candidates that may count, as many as there are. */
typedef struct {
    box *boxes;
    float *scores;
    uint32_t *kinds;
} candidates;

static size_t gather(const maker *m, const found *f, const candidates *to)
{
    size_t n = 0;
    for (size_t i = 0; i < f->candidates; i++) {
        uint32_t kind;
        float score = best_class(m, f, i, &kind);
        if (!(score >= m->p->best.score_min)) continue;
        to->boxes[n] = box_at(m, f, i);
        to->scores[n] = score;
        to->kinds[n++] = kind;
    }
    return n;
}

static err_code picture_boxes(maker *m, const found *f, size_t row, const candidates *c, err *e)
{
    uint32_t *kept;
    size_t count;
    const boxes_scored all = {.boxes = c->boxes, .scores = c->scores, .count = gather(m, f, c),
                              .kinds = m->p->across_classes ? NULL : c->kinds};
    err_code rc = boxes_best(&all, &m->p->best, m->memory, &kept, &count, e);
    if (rc) return rc;
    m->counts[row] = (int64_t)count;
    for (size_t i = 0; i < count; i++) {
        size_t at = row * m->most + i;
        put(m, at, c->kinds[kept[i]], c->scores[kept[i]]);
        box_back(m, row, c->boxes[kept[i]], m->boxes + 4 * at);
    }
    return ERR_OK;
}

/* Rows were made keep_max wide: now as wide as the longest of them. */
static size_t pack(maker *m)
{
    size_t most = 0;
    for (size_t r = 0; r < m->rows; r++)
        if ((size_t)m->counts[r] > most) most = (size_t)m->counts[r];
    for (size_t r = 1; r < m->rows && most < m->most; r++) {
        size_t to = r * most, from = r * m->most;
        memmove(m->indexes + to, m->indexes + from, most * sizeof *m->indexes);
        memmove(m->scores + to, m->scores + from, most * sizeof *m->scores);
        memmove(m->boxes + 4 * to, m->boxes + 4 * from, 4 * most * sizeof *m->boxes);
        if (m->p->labels.count) memmove(m->labels + to, m->labels + from, most * sizeof *m->labels);
    }
    return most;
}

static err_code boxes_make(maker *m, tensor ret[ANSWER_OUTPUTS], err *e)
{
    found f;
    size_t corners_row = 0, scores_row = 0;
    err_code rc = found_check(m, &f, &corners_row, &scores_row, e);
    if (rc) return rc;
    m->rows = (size_t)m->from->boxes->shape.dim[0];
    m->most = m->p->best.keep_max;
    candidates c = {arena_push_raw(m->memory, (f.candidates + 1) * sizeof(box), _Alignof(box)),
                    arena_push_raw(m->memory, (f.candidates + 1) * sizeof(float), _Alignof(float)),
                    arena_push_raw(m->memory, (f.candidates + 1) * sizeof(uint32_t), _Alignof(uint32_t))};
    rc = c.boxes && c.scores && c.kinds ? room(m, e) : no_memory(e);
    for (size_t r = 0; r < m->rows && !rc; r++) {
        found one = of_picture(m, f, r, corners_row, scores_row);
        rc = picture_boxes(m, &one, r, &c, e);
    }
    if (!rc) give(m, pack(m), ret);
    return rc;
}

err_code answer_make(const pipeline_answer *p, const answer_from *from, arena *a, tensor ret[ANSWER_OUTPUTS], err *e)
{
    maker m = {.p = p, .from = from, .memory = a};
    INVARIANT(p->kind != ANSWER_NONE);
    return p->kind == ANSWER_CLASSES ? classes_make(&m, ret, e) : boxes_make(&m, ret, e);
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

static const tensor *part_of(const pipeline_answer *p, const tensor made[ANSWER_OUTPUTS], answer_part part)
{
    for (uint32_t i = 0; i < p->output_count; i++)
        if (p->parts[i] == part) return &made[i];
    return NULL;
}

size_t answer_rows(const pipeline_answer *p, const tensor made[ANSWER_OUTPUTS])
{
    return (size_t)part_of(p, made, ANSWER_INDEX)->shape.dim[0];
}

/* NaN and infinities as null, as in all that V1 answers. */
static void number_print(buf *out, float v)
{
    decimal d;
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (!decimal_finite(bits, &decimal_f32)) {
        buf_put_z(out, "null");
        return;
    }
    decimal_shortest(bits, &decimal_f32, &d);
    char *to = (char *)buf_room(out, DECIMAL_TEXT_MAX);
    if (to) out->len += decimal_print(to, &d);
}

static void box_print(buf *out, const float *b)
{
    buf_put_z(out, ",\"box\":");
    for (size_t i = 0; i < 4; i++) {
        buf_put_byte(out, i ? ',' : '[');
        number_print(out, b[i]);
    }
    buf_put_byte(out, ']');
}

void answer_print(buf *out, const pipeline_answer *p, const tensor made[ANSWER_OUTPUTS], uint64_t row)
{
    const tensor *label = part_of(p, made, ANSWER_LABEL), *index = part_of(p, made, ANSWER_INDEX);
    const tensor *score = part_of(p, made, ANSWER_SCORE), *boxes = part_of(p, made, ANSWER_BOX);
    const tensor *count = part_of(p, made, ANSWER_COUNT);
    uint64_t most = (uint64_t)index->shape.dim[1], n = count ? (uint64_t)((const int64_t *)count->data)[row] : most;
    buf_put_byte(out, '[');
    for (uint64_t i = row * most; i < row * most + n; i++) {
        buf_put_z(out, i > row * most ? ",{" : "{");
        if (label) {
            buf_put_z(out, "\"label\":");
            json_text_put(out, ((const str *)label->data)[i]);
            buf_put_byte(out, ',');
        }
        buf_printf(out, "\"index\":%lld,\"score\":", (long long)((const int64_t *)index->data)[i]);
        number_print(out, ((const float *)score->data)[i]);
        if (boxes) box_print(out, (const float *)boxes->data + 4 * i);
        buf_put_byte(out, '}');
    }
    buf_put_byte(out, ']');
}
