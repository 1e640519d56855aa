/* config_def.h - Triton's message ModelConfig with all that it contains, as config.pbtxt may say it.
 *
 * The table is made by tools/proto.py from proto/inference.proto, whose comments say nothing of meaning: that is
 * Triton's, and model_config.h says what of it is obeyed here.  Read-only data. */
#ifndef MODELS_CONFIG_DEF_H
#define MODELS_CONFIG_DEF_H
#include "wire/pbdef.h"

extern const pbdef config_def;

#endif
