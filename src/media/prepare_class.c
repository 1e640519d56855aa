#include "media/prepare_class.h"

#include "wire/yaml_keys.h"

#include <stdio.h>

/* Each checked against the class itself, transformers 4.46: size, crop and pixels of each kind of `size` that it takes.
 * Not here, because the same keys mean something else: ConvNext (crop_pct), Levit (256/224 of the edge), Perceiver
 * (crops first), EfficientNet (divides twice), MobileViT (BGR), DETR and its kin (sides rounded otherwise). */
static const prepare_class classes[] = {   /* stem, filter, crops, by_edge */
    {"Beit", RESIZE_BICUBIC, true, false},
    {"Bit", RESIZE_BICUBIC, true, true},
    {"Blip", RESIZE_BICUBIC, false, false},
    {"CLIP", RESIZE_BICUBIC, true, true},
    {"DeiT", RESIZE_BICUBIC, true, false},
    {"MobileNetV1", RESIZE_BILINEAR, true, true},
    {"MobileNetV2", RESIZE_BILINEAR, true, true},
    {"Pvt", RESIZE_BILINEAR, false, false},
    {"Segformer", RESIZE_BILINEAR, false, false},
    {"Siglip", RESIZE_BICUBIC, false, false},
    {"ViT", RESIZE_BILINEAR, false, false},
};

/* The older name and the faster class read the same file, as AutoImageProcessor has it. */
static const char *const ends[] = {"ImageProcessor", "ImageProcessorFast", "FeatureExtractor"};

static bool is_named(const prepare_class *c, str name)
{
    str stem = str_of(c->stem);
    if (!str_starts(name, stem)) return false;
    for (size_t i = 0; i < COUNTOF(ends); i++)
        if (str_is((str){name.p + stem.len, name.len - stem.len}, ends[i])) return true;
    return false;
}

static err_code refuse(const yaml *named, err *e)
{
    char expected[300];
    size_t len = 0;
    for (size_t i = 0; i < COUNTOF(classes); i++)
        len += (size_t)snprintf(expected + len, sizeof expected - len, "%s%s",
                                i == 0 ? "" : i + 1 < COUNTOF(classes) ? ", " : " or ", classes[i].stem);
    return err_set(e, ERR_UNSUPPORTED, "%s:%u:%u: " STR_FMT ": expected %s and then ImageProcessor, got '" STR_FMT "'",
                   named->file, named->line, named->column, STR_ARG(named->key), expected, STR_ARG(named->text));
}

err_code prepare_class_of_yaml(const yaml *map, const prepare_class **ret, const yaml **ret_named, err *e)
{
    const yaml *newer = yaml_member(map, "image_processor_type");
    const yaml *named = newer ? newer : yaml_member(map, "feature_extractor_type");
    str name;
    *ret = NULL;
    *ret_named = named;
    err_code rc = named ? yaml_str(named, &name, e) : ERR_OK;
    if (rc || !named) return rc;
    for (size_t i = 0; i < COUNTOF(classes) && !*ret; i++)
        if (is_named(&classes[i], name)) *ret = &classes[i];
    return *ret ? ERR_OK : refuse(named, e);
}
