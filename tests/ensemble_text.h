/* ensemble_text.h - config.pbtxt of an ensemble of two steps, FP32 [-1,2] from "i" to "o". */
#ifndef TESTS_ENSEMBLE_TEXT_H
#define TESTS_ENSEMBLE_TEXT_H

#define STEP(model, in, i, out, o)                                                                              \
    "step { model_name: \"" model "\" model_version: -1 input_map { key: \"" in "\" value: \"" i "\" } "        \
    "output_map { key: \"" out "\" value: \"" o "\" } }"
#define ENSEMBLE(first, second)                                                                                 \
    "platform: \"ensemble\" input { name: \"i\" data_type: TYPE_FP32 dims: [ -1, 2 ] } output { name: \"o\" "     \
    "data_type: TYPE_FP32 dims: [ -1, 2 ] } ensemble_scheduling { " first " " second " }"
/* Model a, then b, each of which doubles x to y. */
#define OF(a, b) ENSEMBLE(STEP(a, "x", "i", "y", "t"), STEP(b, "x", "t", "y", "o"))

#endif
