/* plain.h - a request whose body is the input itself: a picture, a text, or a form with a file.
 *
 *   curl --data-binary @cat.jpg HOST/v1/models/M:predict                       a JPEG or PNG, whatever it is called
 *   curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' HOST/v2/models/M/infer
 *   curl -F file=@cat.jpg HOST/v1/models/M:predict                             as browsers send it
 *   curl -d 'some text' -H 'Content-Type: text/plain' HOST/v1/models/M:predict
 * The model takes pictures for its only input (models/pipeline.h), or its only input is of strings; any other body is
 * the protocol's.  Answers are the protocol's in any case. */
#ifndef SERVE_PLAIN_H
#define SERVE_PLAIN_H
#include "serve/infer.h"

typedef enum { PLAIN_NONE, PLAIN_IMAGE, PLAIN_TEXT, PLAIN_FORM } plain_kind;

plain_kind plain_kind_of(str content_type);
bool plain_is(const infer *r);
err_code plain_read(infer *r, err *e) MUST_USE;   /* behind infer_inputs(); borrows the body */

#endif
