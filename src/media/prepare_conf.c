#include "media/prepare.h"
#include "media/prepare_class.h"
#include "wire/yaml_keys.h"

/* The keys, of transformers' preprocessor_config.json where it has one for the purpose:
 *
 *   do_resize, size, resample   size: N, {height, width}, {shortest_edge[, longest_edge]}, {longest_edge} or
 *                               {max_height, max_width}; resample: Pillow's name or number; default bilinear
 *   do_center_crop, crop_size   N or {height, width}
 *   do_rescale, rescale_factor  default 1/255
 *   do_normalize, image_mean, image_std    a number or one for each channel, in RGB's order; both or none
 *   do_pad, pad_size            N or {height, width}: around the picture, before rescaling
 *   data_format                 channels_first or channels_last
 *   image_processor_type, feature_extractor_type   the class that the file was made for: see prepare_class.h
 * and Proa's own:
 *   pad_value, pad_position     a pixel value or one for each channel; center or top_left
 *   antialias                   false: as torchvision's antialias=False and OpenCV resize
 *   channels, channel_order     1 or 3; rgb or bgr
 *   dtype                       float32, float16 or uint8
 *   do_exif_transpose, draft    turn as EXIF asks (default true); JPEGs at a fraction of their size, when large enough
 *   pixels_max                  of a file
 *
 * What a do_ key turns on needs its values, except where a default is named; values without their do_ key are used.
 * N for `size` is both sides, or the shorter one where a centre crop follows; where a class is named, it decides.
 * A key that is not known is refused, because ignoring it would give other pixels than the model was made for. */
static const char *const known[] = {
    "antialias", "channel_order", "channels", "crop_size", "data_format", "do_center_crop", "do_exif_transpose",
    "do_normalize", "do_pad", "do_rescale", "do_resize", "draft", "dtype", "feature_extractor_type", "image_mean",
    "image_processor_type", "image_std", "pad_position", "pad_size", "pad_value", "pixels_max", "resample",
    "rescale_factor", "size"};

/* In those files, too, without a meaning for the pixels: who wrote them, what is always so here, and what is done to
 * the maps of classes that a model is trained with. */
static const char *const ignored[] = {
    "_processor_class", "_valid_processor_keys", "auto_map", "device", "disable_grouping", "do_convert_rgb",
    "do_reduce_labels", "input_data_format", "processor_class", "reduce_labels", "return_tensors"};

/* What is declared. */
typedef struct {
    const yaml *map;
    const prepare_class *by;    /* whose file it is, as the member `named` says; NULL = nobody's */
    const yaml *named;
} conf;

static bool is_among(str key, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_is(key, names[i])) return true;
    return false;
}

/* A switch that is off asks for nothing, known or not. */
static bool asks_nothing(const yaml *y)
{
    bool on;
    err e;
    if (yaml_is_null(y)) return true;
    return y->kind == YAML_TEXT && str_starts(y->key, STR("do_")) && yaml_bool(y, &on, &e) == ERR_OK && !on;
}

static err_code keys_check(const yaml *map, err *e)
{
    for (const yaml *y = map->first; y; y = y->next) {
        if (is_among(y->key, known, COUNTOF(known)) || is_among(y->key, ignored, COUNTOF(ignored)) || asks_nothing(y))
            continue;
        return yaml_key_refuse(y, known, COUNTOF(known), e);
    }
    return ERR_OK;
}

static err_code read_side(const yaml *y, uint32_t *ret, err *e)
{
    uint64_t v;
    err_code rc = yaml_u64(y, &v, e);
    if (rc) return rc;
    if (v < 1 || v > PREPARE_SIDE_MAX) return yaml_wrong(y, "a side of 1 to 32768 pixels", e);
    *ret = (uint32_t)v;
    return ERR_OK;
}

/* Members a and b of a map that has these and no others. */
static err_code read_pair(const yaml *map, const char *a, uint32_t *ret_a, const char *b, uint32_t *ret_b, err *e)
{
    err_code rc = read_side(yaml_get(map, a), ret_a, e);
    if (!rc && yaml_get(map, b)) rc = read_side(yaml_get(map, b), ret_b, e);
    return rc;
}

/* N or {height, width}. */
static err_code read_sides(const yaml *y, uint32_t *width, uint32_t *height, err *e)
{
    if (y->kind == YAML_MAP && y->count == 2 && yaml_get(y, "height") && yaml_get(y, "width"))
        return read_pair(y, "height", height, "width", width, e);
    if (y->kind != YAML_TEXT) return yaml_wrong(y, "a number or {height, width}", e);
    err_code rc = read_side(y, width, e);
    if (!rc) *height = *width;
    return rc;
}

static bool is_sides(const yaml *y)
{
    return y->kind == YAML_TEXT || (y->count == 2 && yaml_get(y, "height") && yaml_get(y, "width"));
}

/* Only what the class takes: it has no meaning for other forms, or one of its own. */
static err_code read_size_of(const yaml *y, const prepare_class *by, prepare *p, err *e)
{
    const yaml *edge = y->count == 1 ? yaml_get(y, "shortest_edge") : NULL;
    if (by->by_edge && (edge || y->kind == YAML_TEXT)) {
        p->size = PREPARE_SHORTEST;
        return read_side(edge ? edge : y, &p->shortest, e);
    }
    p->size = PREPARE_EXACT;
    if (is_sides(y)) return read_sides(y, &p->width, &p->height, e);
    return yaml_wrong(y, by->by_edge ? "a number, {height, width} or {shortest_edge}, as the class has it"
                                     : "a number or {height, width}, as the class has it", e);
}

static err_code read_size(const yaml *y, bool cropped, prepare *p, err *e)
{
    bool shortest = yaml_get(y, "shortest_edge") != NULL, longest = yaml_get(y, "longest_edge") != NULL;
    if (shortest && y->count == 1u + longest) {
        p->size = PREPARE_SHORTEST;
        return read_pair(y, "shortest_edge", &p->shortest, "longest_edge", &p->longest, e);
    }
    if (longest && y->count == 1) {
        p->size = PREPARE_LONGEST;
        return read_side(yaml_get(y, "longest_edge"), &p->longest, e);
    }
    if (yaml_get(y, "max_height") && yaml_get(y, "max_width") && y->count == 2) {
        p->size = PREPARE_WITHIN;
        return read_pair(y, "max_height", &p->height, "max_width", &p->width, e);
    }
    if (y->kind == YAML_TEXT && cropped) {
        p->size = PREPARE_SHORTEST;
        return read_side(y, &p->shortest, e);
    }
    p->size = PREPARE_EXACT;
    if (is_sides(y)) return read_sides(y, &p->width, &p->height, e);
    return yaml_wrong(y, "a number, {height, width}, {shortest_edge}, {shortest_edge, longest_edge}, {longest_edge} or "
                         "{max_height, max_width}", e);
}

/* One number for all channels or one for each. */
static err_code read_channels(const yaml *y, uint32_t channels, double ret[PREPARE_CHANNELS], err *e)
{
    size_t i = 0;
    err_code rc = ERR_OK;
    if (y->kind == YAML_TEXT) {
        for (; i < PREPARE_CHANNELS && !rc; i++) rc = yaml_f64(y, &ret[i], e);
        return rc;
    }
    if (y->kind != YAML_LIST || y->count != channels)
        return yaml_wrong(y, channels == 1 ? "a number or a list of one" : "a number or a list of three", e);
    for (const yaml *v = y->first; v && !rc; v = v->next) rc = yaml_f64(v, &ret[i++], e);
    return rc;
}

static err_code both_asked(const yaml *said, const char *other, err *e)
{
    return err_set(e, ERR_INVALID, "%s:%u:%u: " STR_FMT ": expected '%s', too", said->file, said->line, said->column,
                   STR_ARG(said->key), other);
}

/* What a do_ key turns on and its values give: the values where the key is not there or true; NULL where there is
 * nothing to do.  On without values is an error, and a class has it on. */
static err_code asked(const conf *c, const char *key, const char *values, const yaml **ret, err *e)
{
    bool on = true;
    const yaml *y = yaml_member(c->map, values), *said = yaml_member(c->map, key), *due = said ? said : c->named;
    err_code rc = yaml_member_bool(c->map, key, &on, e);
    if (rc) return rc;
    if (due && on && !y) return both_asked(due, values, e);
    *ret = on ? y : NULL;
    return ERR_OK;
}

static err_code read_padding(const yaml *map, prepare *p, err *e)
{
    double fill[PREPARE_CHANNELS] = {0};
    bool on = true;
    const yaml *pad = yaml_member(map, "pad_size"), *value = yaml_member(map, "pad_value");
    const yaml *said = yaml_member(map, "do_pad");
    err_code rc = yaml_member_bool(map, "do_pad", &on, e);
    if (!rc && said && on && !pad) rc = both_asked(said, "pad_size", e);
    if (!rc && on && pad) rc = read_sides(pad, &p->pad_width, &p->pad_height, e);
    if (!rc && value) rc = read_channels(value, p->channels, fill, e);
    for (size_t c = 0; c < PREPARE_CHANNELS && !rc; c++) {
        if (!(fill[c] >= 0 && fill[c] <= 255) || fill[c] != (uint8_t)fill[c])
            rc = yaml_wrong(value, "whole numbers of 0 to 255", e);
        else p->fill[c] = (uint8_t)fill[c];
    }
    return rc;
}

static err_code read_geometry(const conf *c, prepare *p, err *e)
{
    const yaml *size = NULL, *crop = NULL, *resample = yaml_member(c->map, "resample");
    bool antialias = true;
    err_code rc = asked(c, "do_resize", "size", &size, e);
    if (!rc && (!c->by || c->by->crops)) rc = asked(c, "do_center_crop", "crop_size", &crop, e);
    if (!rc && size) rc = c->by ? read_size_of(size, c->by, p, e) : read_size(size, crop != NULL, p, e);
    if (!rc && crop) rc = read_sides(crop, &p->crop_width, &p->crop_height, e);
    if (!rc) rc = read_padding(c->map, p, e);
    if (!rc) rc = yaml_member_bool(c->map, "antialias", &antialias, e);
    if (!rc && c->by) p->filter = c->by->filter;
    if (!rc && resample && (resample->kind != YAML_TEXT || !resize_filter_find(resample->text, &p->filter)))
        rc = yaml_wrong(resample, "nearest, lanczos, bilinear, bicubic, box, hamming or Pillow's number", e);
    p->aliased = !antialias;
    return rc;
}

/* One without the other asks for something that was not said; off, neither asks for anything. */
static err_code read_normal(const conf *c, prepare *p, err *e)
{
    const yaml *mean = NULL, *std = NULL;
    bool on = true;
    err_code rc = asked(c, "do_normalize", "image_mean", &mean, e);
    if (!rc) rc = yaml_member_bool(c->map, "do_normalize", &on, e);
    if (!rc && on) std = yaml_member(c->map, "image_std");
    if (rc || (!mean && !std)) return rc;
    if (!std) return both_asked(mean, "image_std", e);
    if (!mean) return both_asked(std, "image_mean", e);
    p->normalize = true;
    rc = read_channels(mean, p->channels, p->mean, e);
    return rc ? rc : read_channels(std, p->channels, p->std, e);
}

static err_code read_numbers(const conf *c, prepare *p, err *e)
{
    const yaml *factor = yaml_member(c->map, "rescale_factor");
    p->rescale = p->type != DT_U8;
    p->factor = 1.0 / 255;
    err_code rc = yaml_member_bool(c->map, "do_rescale", &p->rescale, e);
    if (!rc && factor) rc = yaml_f64(factor, &p->factor, e);
    return rc ? rc : read_normal(c, p, e);
}

static err_code read_layout(const yaml *map, prepare *p, err *e)
{
    static const char *const formats[] = {"channels_first", "channels_last"}, *const orders[] = {"rgb", "bgr"};
    static const char *const positions[] = {"center", "top_left"}, *const types[] = {"float32", "float16", "uint8"};
    static const char *const counts[] = {"1", "3"};
    static const dtype dtypes[] = {DT_F32, DT_F16, DT_U8};
    uint32_t format = p->channels_last, order = 0, position = 0, type = 0, channels = p->channels == 3;
    while (dtypes[type] != p->type) type++;
    err_code rc = yaml_member_word(map, "data_format", formats, COUNTOF(formats), &format, e);
    if (!rc) rc = yaml_member_word(map, "channel_order", orders, COUNTOF(orders), &order, e);
    if (!rc) rc = yaml_member_word(map, "pad_position", positions, COUNTOF(positions), &position, e);
    if (!rc) rc = yaml_member_word(map, "dtype", types, COUNTOF(types), &type, e);
    if (!rc) rc = yaml_member_word(map, "channels", counts, COUNTOF(counts), &channels, e);
    p->channels_last = format == 1;
    p->bgr = order == 1;
    p->pad_top_left = position == 1;
    p->type = dtypes[type];
    p->channels = channels ? 3 : 1;
    return rc;
}

/* The error opens with the key that is to blame; where that was not said, with none, it is the map's. */
static err_code finish(const yaml *map, prepare *p, err *e)
{
    str key = {0}, rest;
    err_code rc = prepare_finish(p, e);
    if (!rc) return ERR_OK;
    const yaml *at = map;
    (void)str_cut(str_of(e->text), ':', &key, &rest);
    for (const yaml *y = map->first; y; y = y->next)
        if (str_eq(y->key, key)) at = y;
    return err_wrap(e, "%s:%u:%u", at->file, at->line, at->column);
}

static err_code read_all(const yaml *map, prepare *p, err *e)
{
    const yaml *most = yaml_member(map, "pixels_max");
    conf c = {.map = map};
    err_code rc = yaml_map(map, e);
    if (!rc) rc = keys_check(map, e);
    if (!rc) rc = prepare_class_of_yaml(map, &c.by, &c.named, e);
    if (!rc) rc = read_layout(map, p, e);
    if (!rc) rc = read_geometry(&c, p, e);
    if (!rc) rc = read_numbers(&c, p, e);
    if (!rc) rc = yaml_member_bool(map, "do_exif_transpose", &p->turn, e);
    if (!rc) rc = yaml_member_bool(map, "draft", &p->draft, e);
    if (!rc && most) rc = yaml_u64(most, &p->pixels_max, e);
    return rc ? rc : finish(map, p, e);
}

prepare prepare_base(void)
{
    return (prepare){.turn = true, .filter = RESIZE_BILINEAR, .channels = 3, .type = DT_F32};
}

err_code prepare_of_yaml(const yaml *map, const prepare *base, prepare *ret, err *e)
{
    prepare p = *base;
    err_code rc = read_all(map, &p, e);
    if (!rc) *ret = p;
    return rc;
}

err_code prepare_parse(str text, const char *file, arena *a, prepare *ret, err *e)
{
    yaml *map;
    err_code rc = yaml_parse(text, file, a, &map, e);
    prepare base = prepare_base();
    return rc ? rc : prepare_of_yaml(map, &base, ret, e);
}
