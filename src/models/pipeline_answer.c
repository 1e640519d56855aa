#include "models/pipeline_answer.h"

#include "models/label_file.h"
#include "wire/yaml_keys.h"

static const char *const answer_keys[] = {"boxes", "classes", "prefix"};
static const char *const classes_keys[] = {"labels", "output", "softmax", "top"};
static const char *const boxes_keys[] = {"across_classes", "all", "background", "boxes", "form", "keep_max", "labels",
                                         "objectness", "overlap_max", "relative", "score_min", "scores", "transposed"};
static const char *const part_names[] = {
    [ANSWER_LABEL] = "label", [ANSWER_INDEX] = "index", [ANSWER_SCORE] = "score", [ANSWER_BOX] = "box",
    [ANSWER_COUNT] = "count"};
static const dtype part_types[] = {
    [ANSWER_LABEL] = DT_STRING, [ANSWER_INDEX] = DT_I64, [ANSWER_SCORE] = DT_F32, [ANSWER_BOX] = DT_F32,
    [ANSWER_COUNT] = DT_I64};

static err_code no_memory(err *e) { return err_set(e, ERR_NOMEM, "no memory for what is declared of a model"); }

/* ---- members ----------------------------------------------------------------------------------------------------- */

/* An output of the model, in a type that is read. */
static err_code output_read(const answer_with *with, const yaml *y, bool half, uint32_t *ret, err *e)
{
    str name;
    err_code rc = yaml_str(y, &name, e);
    for (uint32_t i = 0; !rc && i < with->ios->output_count; i++) {
        const model_io *io = &with->ios->outputs[i];
        if (!str_eq(io->name, name)) continue;
        if (io->type != DT_F32 && !(half && io->type == DT_F16))
            return err_set(e, ERR_UNSUPPORTED, "%s:%u:%u: output '" STR_FMT "': expected %s, got %s", y->file, y->line,
                           y->column, STR_ARG(name), half ? "FP32 or FP16" : "FP32", dtype_name(io->type));
        *ret = i;
        return ERR_OK;
    }
    return rc ? rc : yaml_wrong(y, "an output of the model", e);
}

static err_code labels_listed(const yaml *y, arena *a, labels *ret, err *e)
{
    size_t i = 0;
    str *names = arena_new(a, str, y->count + 1);
    err_code rc = names ? ERR_OK : no_memory(e);
    for (const yaml *v = y->first; v && !rc; v = v->next) rc = yaml_str(v, &names[i++], e);
    if (!rc) *ret = (labels){names, y->count};
    return rc;
}

/* As they are declared; else those of config.pbtxt, else those that the model brings. */
static err_code labels_read(const answer_with *with, const yaml *map, uint32_t output, labels *ret, err *e)
{
    const yaml *y = yaml_member(map, "labels");
    const attr *other = model_config_labels(with->config, output);
    if (y && y->kind == YAML_LIST) return labels_listed(y, with->memory, ret, e);
    if (y && (y->kind != YAML_TEXT || !with->folder)) return yaml_wrong(y, "a list or the name of a file", e);
    if (y) {
        err_code rc = label_file_names(with->folder, "labels", y->text, with->memory, ret, e);
        return rc ? err_wrap(e, "%s:%u:%u", y->file, y->line, y->column) : ERR_OK;
    }
    if (!other) other = with->ios->outputs[output].labels;
    if (other && other->kind == ATTR_STRINGS) *ret = (labels){other->strings, other->count};
    return ERR_OK;
}

static err_code count_read(const yaml *map, const char *key, uint64_t most, const char *expected, size_t *ret, err *e)
{
    const yaml *y = yaml_member(map, key);
    uint64_t v;
    if (!y) return ERR_OK;
    err_code rc = yaml_u64(y, &v, e);
    if (rc) return rc;
    if (v < 1 || v > most) return yaml_wrong(y, expected, e);
    *ret = (size_t)v;
    return ERR_OK;
}

/* ---- the two kinds ----------------------------------------------------------------------------------------------- */

static err_code classes_read(const yaml *map, const answer_with *with, pipeline_answer *p, err *e)
{
    const yaml *output = yaml_member(map, "output");
    p->kind = ANSWER_CLASSES;
    p->top = ANSWER_TOP;
    if (!output && with->ios->output_count != 1) return yaml_wrong(map, "a member 'output'", e);
    err_code rc = ERR_OK;
    if (output) {
        rc = output_read(with, output, true, &p->scores, e);
    } else {
        yaml only = *map;      /* its place, for the error */
        only.kind = YAML_TEXT;
        only.plain = false;
        only.text = with->ios->outputs[0].name;
        rc = output_read(with, &only, true, &p->scores, e);
    }
    p->boxes = p->scores;
    if (!rc) rc = yaml_member_bool(map, "softmax", &p->softmax, e);
    if (!rc) rc = count_read(map, "top", ANSWER_TOP_MAX, "1 to 10000", &p->top, e);
    return rc ? rc : labels_read(with, map, p->scores, &p->labels, e);
}

/* As far as the model says it. */
static err_code boxes_shape(const yaml *at, const answer_with *with, const pipeline_answer *p, err *e)
{
    const model_io *boxes = &with->ios->outputs[p->boxes], *scores = &with->ios->outputs[p->scores];
    const char *want = p->boxes == p->scores ? "[N, boxes, values]" : "[N, boxes, 4]";
    char text[SHAPE_TEXT_MAX];
    const shape *s = &boxes->shape;
    int64_t values = s->rank == 3 ? s->dim[p->transposed ? 1 : 2] : -1;
    bool bad = boxes->ranked && (s->rank != 3 || (p->boxes != p->scores && values >= 0 && values != 4) ||
                                 (p->boxes == p->scores && values >= 0 && values < 5 + p->objectness));
    if (!bad && scores->ranked && scores->shape.rank != 3 && scores->shape.rank != 2) {
        s = &scores->shape;
        want = "[N, boxes, classes] or [N, boxes]";
        bad = true;
    }
    if (!bad) return ERR_OK;
    return err_set(e, ERR_INVALID, "%s:%u:%u: boxes: expected an output of %s, got '%s'", at->file, at->line,
                   at->column, want, shape_text(s, text));
}

static err_code boxes_outputs(const yaml *map, const answer_with *with, pipeline_answer *p, err *e)
{
    const yaml *all = yaml_member(map, "all"), *boxes = yaml_member(map, "boxes"), *scores = yaml_member(map, "scores");
    if (all ? boxes || scores : !boxes || !scores) return yaml_wrong(map, "members 'boxes' and 'scores', or 'all'", e);
    err_code rc = output_read(with, all ? all : boxes, false, &p->boxes, e);
    if (!rc) rc = output_read(with, all ? all : scores, false, &p->scores, e);
    if (!rc && !all && p->boxes == p->scores) rc = yaml_wrong(scores, "another output than 'boxes'", e);
    if (!rc && !all && p->objectness) rc = yaml_wrong(map, "'objectness' only with 'all'", e);
    return rc ? rc : boxes_shape(map, with, p, e);
}

static err_code boxes_read(const yaml *map, const answer_with *with, pipeline_answer *p, err *e)
{
    static const char *const forms[] = {"corners", "center"};
    const yaml *background = yaml_member(map, "background");
    double score = 0.25, overlap = 0.45;
    uint32_t form = 0;
    uint64_t none = 0;
    p->kind = ANSWER_BOXES;
    p->best.keep_max = 100;
    err_code rc = yaml_member_word(map, "form", forms, COUNTOF(forms), &form, e);
    if (!rc) rc = yaml_member_bool(map, "transposed", &p->transposed, e);
    if (!rc) rc = yaml_member_bool(map, "relative", &p->relative, e);
    if (!rc) rc = yaml_member_bool(map, "objectness", &p->objectness, e);
    if (!rc) rc = yaml_member_bool(map, "across_classes", &p->across_classes, e);
    if (!rc) rc = yaml_member_f64(map, "score_min", -1e30, 1e30, "a number", &score, e);
    if (!rc) rc = yaml_member_f64(map, "overlap_max", 0, 1, "0 to 1", &overlap, e);
    if (!rc) rc = count_read(map, "keep_max", BOXES_KEEP_MAX, "1 to 300", &p->best.keep_max, e);
    if (!rc && background) rc = yaml_u64(background, &none, e);
    if (!rc && none > LABELS_MAX) rc = yaml_wrong(background, "the index of a class", e);
    if (!rc) rc = boxes_outputs(map, with, p, e);
    p->background = background ? (int64_t)none : -1;
    p->center = form == 1;
    p->best.score_min = (float)score;
    p->best.overlap_max = (float)overlap;
    return rc ? rc : labels_read(with, map, p->scores, &p->labels, e);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* [N, k] of classes; [N] and [N, boxes(, 4)] of boxes. */
static const uint32_t part_ranks[] = {
    [ANSWER_LABEL] = 2, [ANSWER_INDEX] = 2, [ANSWER_SCORE] = 2, [ANSWER_BOX] = 3, [ANSWER_COUNT] = 1};

static err_code output_add(const yaml *map, const answer_with *with, pipeline_answer *p, answer_part part, err *e)
{
    static const int64_t dims[] = {-1, -1, 4};
    const yaml *prefix = yaml_member(map, "prefix");
    str before = STR("");
    err_code rc = prefix ? yaml_str(prefix, &before, e) : ERR_OK;
    if (rc) return rc;
    char *name = arena_printf(with->memory, STR_FMT "%s", STR_ARG(before), part_names[part]);
    if (!name) return no_memory(e);
    for (uint32_t i = 0; i < with->ios->output_count; i++)
        if (str_is(with->ios->outputs[i].name, name))
            return err_set(e, ERR_INVALID, "%s:%u:%u: answer: expected another 'prefix': the model has an output '%s'",
                           map->file, map->line, map->column, name);
    p->parts[p->output_count] = part;
    p->outputs[p->output_count++] = (model_io){
        .name = str_of(name), .type = part_types[part], .shape = shape_make(part_ranks[part], dims), .ranked = true};
    return ERR_OK;
}

static err_code kind_read(const yaml *map, const answer_with *with, pipeline_answer *p, err *e)
{
    const yaml *classes = yaml_get(map, "classes"), *boxes = yaml_get(map, "boxes");
    if (!classes == !boxes) return yaml_wrong(map, "a member 'classes' or 'boxes'", e);
    err_code rc = ERR_OK;
    if (classes && !yaml_is_null(classes)) rc = yaml_keys_check(classes, classes_keys, COUNTOF(classes_keys), e);
    if (boxes) rc = yaml_keys_check(boxes, boxes_keys, COUNTOF(boxes_keys), e);
    if (rc) return rc;
    return classes ? classes_read(classes, with, p, e) : boxes_read(boxes, with, p, e);
}

err_code pipeline_answer_read(const yaml *map, const answer_with *with, pipeline_answer *ret, err *e)
{
    pipeline_answer p = {.background = -1};
    err_code rc = yaml_keys_check(map, answer_keys, COUNTOF(answer_keys), e);
    if (!rc) rc = kind_read(map, with, &p, e);
    bool boxes = p.kind == ANSWER_BOXES;
    if (!rc && boxes) rc = output_add(map, with, &p, ANSWER_COUNT, e);
    if (!rc && boxes) rc = output_add(map, with, &p, ANSWER_BOX, e);
    if (!rc && p.labels.count) rc = output_add(map, with, &p, ANSWER_LABEL, e);
    if (!rc) rc = output_add(map, with, &p, ANSWER_INDEX, e);
    if (!rc) rc = output_add(map, with, &p, ANSWER_SCORE, e);
    if (!rc) *ret = p;
    return rc;
}
