/* pb_fields.h - a small protobuf message read at once: the last value of each of its first fields, by number.
 *
 * For requests of a few scalars, where a loop over the fields says less than their names.  Borrows the message.  Like a
 * pb it fails once and stays failed; getters then give zero or "", and pb_fields_check() tells.  Repeated fields
 * and maps are read by a loop of their own. */
#ifndef WIRE_PB_FIELDS_H
#define WIRE_PB_FIELDS_H
#include "wire/pb.h"

enum { PB_FIELDS_MAX = 8 };   /* the highest number kept */

typedef struct {
    /* private */
    pb m;
    pb_field at[PB_FIELDS_MAX + 1];
    bool has[PB_FIELDS_MAX + 1];
} pb_fields;

void pb_fields_read(pb_fields *q, str message);
bool pb_fields_has(const pb_fields *q, uint32_t number);
str pb_fields_text(pb_fields *q, uint32_t number);        /* absent: "" */
str pb_fields_bytes(pb_fields *q, uint32_t number);
uint64_t pb_fields_u64(pb_fields *q, uint32_t number);    /* absent: 0 */
bool pb_fields_bool(pb_fields *q, uint32_t number);
err_code pb_fields_check(const pb_fields *q, const char *what, err *e) MUST_USE;   /* behind the getters */

#endif
