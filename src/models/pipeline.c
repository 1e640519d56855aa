#include "models/pipeline.h"

#include "base/mem.h"
#include "models/label_file.h"
#include "wire/yaml_keys.h"

#include <stdio.h>
#include <string.h>

static const char *const top_keys[] = {"answer", "inputs"}, *const input_keys[] = {"image", "name"};

static err_code no_memory(err *e) { return err_set(e, ERR_NOMEM, "no memory for what is declared of a model"); }

int32_t pipeline_image(const pipeline *p, str name)
{
    for (uint32_t i = 0; p && i < p->input_count; i++)
        if (p->inputs[i].name.p && str_eq(p->inputs[i].name, name)) return (int32_t)i;
    return -1;
}

bool pipeline_takes(const pipeline *p, uint32_t i) { return p && i < p->input_count && p->inputs[i].image; }

/* ---- one input --------------------------------------------------------------------------------------------------- */

typedef struct {
    const pipeline_from *from;
    const char *folder;
    pipeline *p;
} reader;

static bool is_channels(int64_t n) { return n == 1 || n == 3; }

/* What the model says already, where its keys say nothing: type, channels, and on which side they are. */
static prepare base_of(const model_io *io, const int64_t row[3])
{
    prepare p = prepare_base();
    p.channels_last = !is_channels(row[0]) && is_channels(row[2]);
    int64_t channels = row[p.channels_last ? 2 : 0];
    if (is_channels(channels)) p.channels = (uint32_t)channels;
    if (io->type == DT_F16 || io->type == DT_U8) p.type = io->type;
    return p;
}

/* Nothing is said of sizes: as large as the model wants it. */
static void size_default(prepare *p, const int64_t row[3])
{
    int64_t height = row[p->channels_last ? 0 : 1], width = row[p->channels_last ? 1 : 2];
    bool said = p->size != PREPARE_AS_IT_IS || p->crop_width || p->pad_width;
    if (said || height < 1 || width < 1 || height > PREPARE_SIDE_MAX || width > PREPARE_SIDE_MAX) return;
    p->size = PREPARE_EXACT;
    p->height = (uint32_t)height;
    p->width = (uint32_t)width;
}

static err_code fits(const yaml *y, const model_io *io, const int64_t row[3], const prepare *p, err *e)
{
    shape want = shape_make(3, row), got = prepare_shape(p);
    char want_text[SHAPE_TEXT_MAX], got_text[SHAPE_TEXT_MAX];
    if (io->type != p->type)
        return err_set(e, ERR_INVALID, "%s:%u:%u: image: expected dtype %s, as input '" STR_FMT "' has, got '%s'",
                       y->file, y->line, y->column, dtype_name(io->type), STR_ARG(io->name), dtype_name(p->type));
    for (uint32_t d = 0; d < 3; d++)
        if (want.dim[d] >= 0 && want.dim[d] != got.dim[d])
            return err_set(e, ERR_INVALID,
                           "%s:%u:%u: image: expected sizes that make %s, as input '" STR_FMT "' has, got '%s'",
                           y->file, y->line, y->column, shape_text(&want, want_text), STR_ARG(io->name),
                           shape_text(&got, got_text));
    return ERR_OK;
}

/* Three dimensions, of which the first is open and may count pictures: a guess would be wrong for every one of them. */
static err_code channels_check(const yaml *y, const yaml *keys, const model_io *io, const shape *s, const prepare *p,
                               err *e)
{
    char text[SHAPE_TEXT_MAX];
    uint32_t at = p->channels_last ? 2 : 0;
    bool sides = s->dim[1] >= 0 && s->dim[2 - at] >= 0;
    if (s->rank != 3 || s->dim[at] >= 0 || !sides || yaml_member(keys, "channels")) return ERR_OK;
    return err_set(e, ERR_INVALID, "%s:%u:%u: image: expected 'channels', which input '" STR_FMT "' leaves open, got "
                   "'%s'", y->file, y->line, y->column, STR_ARG(io->name), shape_text(s, text));
}

/* The keys themselves, or the file that has them. */
static err_code image_keys(const reader *rd, const yaml *y, const yaml **ret, err *e)
{
    char path[FILE_PATH_MAX], *text;
    size_t len;
    yaml *map;
    *ret = y;
    if (y->kind != YAML_TEXT || yaml_is_null(y)) return ERR_OK;
    if (!rd->folder) return yaml_wrong(y, "a map", e);
    err_code rc = label_file_path(rd->folder, "image", y->text, path, e);
    if (!rc) rc = file_read_regular(path, PIPELINE_FILE_BYTES_MAX, &text, &len, e);
    if (rc) return err_wrap(e, "%s:%u:%u", y->file, y->line, y->column);
    char *name = arena_printf(&rd->p->memory, "%s", path);
    rc = name ? yaml_parse((str){text, len}, name, &rd->p->memory, &map, e) : no_memory(e);
    mem_free(text);
    if (!rc) *ret = map;
    return rc;
}

static err_code image_read(const reader *rd, const yaml *y, uint32_t i, err *e)
{
    const model_io *io = &rd->from->ios->inputs[i];
    shape s = model_config_declared(rd->from->config, rd->from->ios, true, i);
    char text[SHAPE_TEXT_MAX];
    prepare *p = arena_new(&rd->p->memory, prepare, 1);
    if (!p) return no_memory(e);
    if (!io->ranked || (s.rank != 3 && s.rank != 4))
        return err_set(e, ERR_INVALID,
                       "%s:%u:%u: image: expected an input of 3 or 4 dimensions, got '" STR_FMT "' of %s",
                       y->file, y->line, y->column, STR_ARG(io->name), shape_text(&s, text));
    const int64_t *row = s.dim + (s.rank - 3);
    prepare base = base_of(io, row);
    base.pixels_max = rd->from->pixels_max;
    const yaml *keys;
    err_code rc = image_keys(rd, y, &keys, e);
    if (!rc && yaml_is_null(keys)) {
        *p = base;
        p->rescale = p->type != DT_U8;
        p->factor = 1.0 / 255;
        rc = prepare_finish(p, e);
    } else if (!rc) {
        rc = prepare_of_yaml(keys, &base, p, e);
    }
    if (rc) return rc;
    if (rd->from->pixels_max && p->pixels_max > rd->from->pixels_max) p->pixels_max = rd->from->pixels_max;
    size_default(p, row);
    rc = channels_check(y, keys, io, &s, p, e);
    if (!rc) rc = fits(y, io, row, p, e);
    rd->p->inputs[i].image = p;
    rd->p->inputs[i].batch = s.rank == 4;
    return rc;
}

static int32_t input_named(const model_ios *m, str name)
{
    for (uint32_t i = 0; i < m->input_count; i++)
        if (str_eq(m->inputs[i].name, name)) return (int32_t)i;
    return -1;
}

static err_code name_read(const reader *rd, const yaml *y, int32_t i, err *e)
{
    str name = {0};
    err_code rc = yaml_str(y, &name, e);
    if (rc) return rc;
    int32_t other = input_named(rd->from->ios, name);
    if (name.len == 0 || (other >= 0 && other != i) || pipeline_image(rd->p, name) >= 0)
        return yaml_wrong(y, "a name that no other input has", e);
    rd->p->inputs[i].name = name;
    return ERR_OK;
}

static err_code input_read(const reader *rd, const yaml *y, err *e)
{
    int32_t i = input_named(rd->from->ios, y->key);
    if (i < 0)
        return err_set(e, ERR_INVALID, "%s:%u:%u: inputs: expected an input of the model, got '" STR_FMT "'", y->file,
                       y->key_line, y->key_column, STR_ARG(y->key));
    err_code rc = yaml_keys_check(y, input_keys, COUNTOF(input_keys), e);
    const yaml *how = yaml_get(y, "image"), *name = yaml_member(y, "name");
    if (!rc && !how) return yaml_wrong(y, "a member 'image'", e);
    if (!rc) rc = image_read(rd, how, (uint32_t)i, e);
    if (!rc && name) rc = name_read(rd, name, i, e);
    return rc;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void only_image(const reader *rd)
{
    pipeline *p = rd->p;
    uint32_t count = 0;
    p->image = -1;
    for (uint32_t i = 0; i < p->input_count; i++)
        if (p->inputs[i].image && count++ == 0) p->image = (int32_t)i;
    if (count != 1) p->image = -1;
    if (p->image < 0) return;
    int32_t other = input_named(rd->from->ios, STR("image"));
    if (!p->inputs[p->image].name.p && other < 0) p->inputs[p->image].name = STR("image");
}

static err_code boxes_check(const pipeline *p, const yaml *y, err *e)
{
    if (p->answer.kind != ANSWER_BOXES) return ERR_OK;
    if (p->image < 0) return yaml_wrong(y, "boxes only with one input that takes pictures", e);
    if (p->inputs[p->image].image->draft)
        return err_set(e, ERR_INVALID, "%s:%u:%u: boxes: expected 'draft' to be false: it loses the picture's size",
                       y->file, y->line, y->column);
    return ERR_OK;
}

/* As far as the model says it: a row of scores for each picture.  Where several inputs take one picture each, none of
 * them says how many rows there are. */
static err_code classes_check(const pipeline *p, const model_ios *ios, const yaml *y, err *e)
{
    if (p->answer.kind != ANSWER_CLASSES) return ERR_OK;
    const model_io *io = &ios->outputs[p->answer.scores];
    char text[SHAPE_TEXT_MAX];
    bool many = false;
    for (uint32_t i = 0; i < p->input_count; i++) {
        const pipeline_input *in = &p->inputs[i];
        many = many || (in->image && in->batch && ios->inputs[i].shape.dim[0] != 1);
    }
    bool one = p->image >= 0 && !many;
    bool bad = io->ranked && (io->shape.rank == 0 || (many && io->shape.rank == 1) ||
                              (one && io->shape.rank > 1 && io->shape.dim[0] > 1));
    if (!bad) return ERR_OK;
    return err_set(e, ERR_INVALID, "%s:%u:%u: classes: expected an output of %s, got '%s'", y->file, y->line, y->column,
                   many ? "[N, classes]" : "[classes] or [1, classes]", shape_text(&io->shape, text));
}

static err_code answer_read(const reader *rd, const yaml *answer, err *e)
{
    answer_with with = {rd->folder, rd->from->ios, rd->from->config, &rd->p->memory};
    err_code rc = pipeline_answer_read(answer, &with, &rd->p->answer, e);
    const yaml *kind = yaml_member(answer, "boxes");
    if (!kind) kind = yaml_get(answer, "classes");
    if (!rc) rc = classes_check(rd->p, rd->from->ios, kind, e);
    return rc ? rc : boxes_check(rd->p, kind, e);
}

static err_code all_read(const reader *rd, const yaml *top, err *e)
{
    const yaml *inputs = yaml_member(top, "inputs"), *answer = yaml_member(top, "answer");
    err_code rc = yaml_keys_check(top, top_keys, COUNTOF(top_keys), e);
    if (rc) return rc;
    if (!inputs) return yaml_wrong(top, "a member 'inputs'", e);
    rc = yaml_map(inputs, e);
    for (const yaml *y = rc ? NULL : inputs->first; y && !rc; y = y->next) rc = input_read(rd, y, e);
    if (rc) return rc;
    only_image(rd);
    return answer ? answer_read(rd, answer, e) : ERR_OK;
}

err_code pipeline_parse(pipeline **ret, str text, const char *name, const char *folder, const pipeline_from *from,
                        err *e)
{
    CLEANUP(pipeline) pipeline *p = mem_new0(pipeline, 1);
    yaml *top;
    if (!p) return no_memory(e);
    arena_init(&p->memory, NULL, 0, PIPELINE_MEMORY_MAX);
    p->memory.snug = true;
    p->input_count = from->ios->input_count;
    p->inputs = arena_new(&p->memory, pipeline_input, p->input_count + 1);
    if (!p->inputs) return no_memory(e);
    reader rd = {from, folder, p};
    err_code rc = yaml_parse(text, name, &p->memory, &top, e);
    if (!rc) rc = all_read(&rd, top, e);
    if (!rc) *ret = TAKE(p);
    return rc;
}

void pipeline_free(pipeline *p)
{
    if (!p) return;
    arena_fini(&p->memory);
    mem_free(p);
}

/* ---- where it lies ----------------------------------------------------------------------------------------------- */

/* Reads FOLDER/NAME; *ret_there is false, and ERR_OK, where there is none. */
static err_code try_file(pipeline **ret, const char *folder, const char *name, const pipeline_from *from,
                         bool *ret_there, err *e)
{
    char path[FILE_PATH_MAX], *text;
    size_t len;
    file_id id;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n < 0 || (size_t)n >= sizeof path) return err_set(e, ERR_INVALID, "%s: the path is too long", folder);
    err_code rc = file_identify(path, &id, e);
    *ret_there = rc != ERR_NOT_FOUND;
    if (rc) return *ret_there ? rc : ERR_OK;
    rc = file_read_regular(path, PIPELINE_FILE_BYTES_MAX, &text, &len, e);
    if (rc) return rc;
    rc = pipeline_parse(ret, (str){text, len}, path, folder, from, e);
    mem_free(text);
    return rc;
}

/* The folder of a file, and its name with another end. */
static err_code names_split(const char *file, char folder[FILE_PATH_MAX], char name[FILE_PATH_MAX], err *e)
{
    static const char end[] = ".onnx";
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    int folder_bytes = slash == file ? 1 : slash ? (int)(slash - file) : 1, base_bytes = (int)strlen(base);
    if (str_ends(str_of(base), STR(".onnx"))) base_bytes -= (int)sizeof end - 1;
    int n = snprintf(folder, FILE_PATH_MAX, "%.*s", folder_bytes, slash ? file : ".");
    int m = snprintf(name, FILE_PATH_MAX, "%.*s.proa.yaml", base_bytes, base);
    if (n < 0 || m < 0 || n >= FILE_PATH_MAX || m >= FILE_PATH_MAX)
        return err_set(e, ERR_INVALID, "%s: the path is too long", file);
    return ERR_OK;
}

err_code pipeline_open(pipeline **ret, const pipeline_from *from, err *e)
{
    char folder[FILE_PATH_MAX], name[FILE_PATH_MAX];
    bool there = false;
    *ret = NULL;
    err_code rc = from->file ? names_split(from->file, folder, name, e) : ERR_OK;
    if (!rc && from->file) rc = try_file(ret, folder, name, from, &there, e);
    bool in_folder = !from->file || strcmp(from->path, from->file) != 0;
    if (!rc && !there && from->file && in_folder) rc = try_file(ret, folder, "proa.yaml", from, &there, e);
    if (!rc && !there && in_folder) rc = try_file(ret, from->path, "proa.yaml", from, &there, e);
    if (rc || there || !from->file || !from->metadata.p) return rc;
    int n = snprintf(name, sizeof name, "%s#proa", from->file);
    if (n < 0 || (size_t)n >= sizeof name) return err_set(e, ERR_INVALID, "%s: the path is too long", from->file);
    return pipeline_parse(ret, from->metadata, name, folder, from, e);
}
