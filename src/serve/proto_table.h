/* proto_table.h - what server reflection knows: the files of proto/, their symbols and their services.
 *
 * The table is made by tools/proto.py; each file is a serialized google.protobuf.FileDescriptorProto without comments,
 * and depends on no other.  Read-only data; symbols and services are sorted by name. */
#ifndef SERVE_PROTO_TABLE_H
#define SERVE_PROTO_TABLE_H
#include "base/base.h"

typedef struct {
    const char *name;
    const uint8_t *bytes;
    size_t len;
} proto_file;

typedef struct {
    const char *name;                /* full: "inference.ModelInferRequest" */
    size_t file;
} proto_symbol;

extern const proto_file proto_files[];
extern const size_t proto_file_count;
extern const proto_symbol proto_symbols[];
extern const size_t proto_symbol_count;
extern const char *const proto_services[];
extern const size_t proto_service_count;

#endif
