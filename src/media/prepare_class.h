/* prepare_class.h - the image processors of Hugging Face's transformers whose files are taken, and how each reads them.
 *
 * A preprocessor_config.json names the class that reads it, and classes give the same keys other meanings: a number as
 * `size` is both sides to one and the shorter edge to another, and what a file leaves out is the class's default.  So a
 * class that is named has to be in the table, and its row then decides; any other is refused by name, because its
 * pixels would be wrong.  Pure data; a row lives for ever. */
#ifndef MEDIA_PREPARE_CLASS_H
#define MEDIA_PREPARE_CLASS_H
#include "media/resize.h"
#include "wire/yaml.h"

typedef struct {
    const char *stem;           /* "CLIP": CLIPImageProcessor, CLIPImageProcessorFast and CLIPFeatureExtractor */
    resize_filter filter;       /* where `resample` is not said */
    bool crops;                 /* from the centre, unless do_center_crop is false; others know no crop */
    bool by_edge;               /* {shortest_edge} is taken, and N is that; else N is both sides */
} prepare_class;

/* As image_processor_type says, else feature_extractor_type; *ret_named is that member.  Both NULL: none is named. */
err_code prepare_class_of_yaml(const yaml *map, const prepare_class **ret, const yaml **ret_named, err *e) MUST_USE;

#endif
