/* pbdef.h - what a protobuf message may contain, as a table: names, numbers and types of its fields.
 *
 * Tables are read-only data that a tool generates from .proto files; a message may not contain itself.  Oneofs are
 * numbered from 1 within their message.  A map is a repeated message of two fields, key and value. */
#ifndef WIRE_PBDEF_H
#define WIRE_PBDEF_H
#include "base/base.h"

typedef struct pbdef pbdef;

typedef enum {
    PBDEF_BOOL, PBDEF_I32, PBDEF_I64, PBDEF_U32, PBDEF_U64, PBDEF_F32, PBDEF_F64, PBDEF_TEXT, PBDEF_ENUM, PBDEF_MESSAGE
} pbdef_kind;

typedef struct {
    const char *name;
    int32_t number;
} pbdef_value;

typedef struct {
    const pbdef_value *values;
    size_t count;
} pbdef_enum;

typedef struct {
    const char *name;
    uint32_t number;
    pbdef_kind kind;
    bool repeated;
    uint8_t oneof;                /* 0 = of none */
    const pbdef_enum *values;     /* of PBDEF_ENUM */
    const pbdef *message;         /* of PBDEF_MESSAGE */
} pbdef_field;

struct pbdef {
    const char *name;
    const pbdef_field *fields;    /* in the order of the .proto, which is that of JSON output */
    size_t count;
    bool map_entry;
};

#endif
