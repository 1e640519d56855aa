/* parameter.h - a named value that a client gives: V2's parameters and settings, whatever carries them.
 *
 * JSON has strings, numbers, booleans and null, protobuf a oneof of the same.  What a name means, and which kinds it
 * may have, is its reader's to say.  Texts are borrowed from the request. */
#ifndef SERVE_PARAMETER_H
#define SERVE_PARAMETER_H
#include "wire/json.h"
#include "wire/pb_fields.h"

typedef enum {
    PARAMETER_NONE,                 /* null, or no choice made */
    PARAMETER_BOOL, PARAMETER_NUMBER, PARAMETER_NEGATIVE, PARAMETER_REAL, PARAMETER_TEXT,
    PARAMETER_OTHER                 /* an array or an object */
} parameter_kind;

typedef struct {
    parameter_kind kind;
    bool on;
    uint64_t number;                /* of PARAMETER_NUMBER: 0 or more */
    str text;
} parameter;

/* The numbers of the oneof's fields, which differ from message to message; 0 = it has no such field. */
typedef struct {
    uint32_t on, i64, u64, text, real;
} parameter_fields;

parameter parameter_of_json(yyjson_val *v);
/* One entry of a map<string, ...>. */
err_code parameter_of_pb(pb entry, const parameter_fields *fields, const char *what, str *ret_name, parameter *ret,
                         err *e) MUST_USE;

#endif
