/* pb.h - protobuf's wire format: a reader that copies nothing and a writer into a buf.
 *
 * A `pb` walks one message; it borrows the bytes, and so do the fields it gives.  Like a buf it fails once and
 * stays failed: pb_next() then says "no more", getters give zero, and pb_check() tells after the loop what was
 * wrong, where (byte offsets count from the outermost message) and in which field.  Nothing read before
 * pb_check() said ERR_OK may be trusted.  Nesting is the caller's: pb_sub() opens a message inside a field, the
 * caller bounds its own depth.  Unknown fields cost a skip; groups are stepped over, at most PB_GROUP_DEPTH_MAX
 * deep.  A known field with another wire type is an error here, not an unknown field. */
#ifndef WIRE_PB_H
#define WIRE_PB_H
#include "base/buf.h"

enum {
    PB_GROUP_DEPTH_MAX = 32,                /* nobody nests groups; bounds the stack of open ones */
    PB_NUMBER_MAX = (1 << 29) - 1,
    PB_VARINT_MAX = 10                      /* bytes of the longest varint */
};

typedef enum { PB_VARINT, PB_FIXED64, PB_BYTES, PB_GROUP_START, PB_GROUP_END, PB_FIXED32 } pb_type;

typedef enum {
    PB_FINE, PB_BAD_END, PB_BAD_VARINT, PB_BAD_NUMBER, PB_BAD_WIRE, PB_BAD_LENGTH, PB_BAD_GROUP, PB_BAD_DEPTH,
    PB_BAD_TYPE, PB_BAD_PACKED, PB_BAD_TEXT
} pb_bad;

typedef struct {
    uint32_t number;
    pb_type type;                           /* PB_VARINT, PB_FIXED64, PB_BYTES or PB_FIXED32 */
    uint64_t value;                         /* the bits of a number; of PB_BYTES its length */
    const uint8_t *p;                       /* the encoded value; of PB_BYTES what follows the length */
    size_t len;
} pb_field;

typedef struct {
    pb_bad bad;                             /* PB_FINE, or why it stopped */
    /* private */
    const uint8_t *base, *p, *end;
    uint32_t number;                        /* of the field being read */
    size_t bad_at;
    uint64_t bad_want, bad_got;
} pb;

/* Reading.  pb_f32 and so on fail the reader when the field is of another wire type. */
void pb_init(pb *r, const void *bytes, size_t len);
bool pb_next(pb *r, pb_field *ret);                              /* false = end, or failed: see pb_check */
err_code pb_check(const pb *r, const char *what, err *e) MUST_USE;   /* "what: byte 12: field 3: ..." */
uint64_t pb_u64(pb *r, const pb_field *f);                       /* uint64, uint32 */
int64_t pb_i64(pb *r, const pb_field *f);                        /* int64, int32, enum */
int32_t pb_i32(pb *r, const pb_field *f);                        /* the low 32 bits, as the specification wants */
int64_t pb_sint(pb *r, const pb_field *f);                       /* zigzag */
bool pb_bool(pb *r, const pb_field *f);
uint32_t pb_fixed32(pb *r, const pb_field *f);
uint64_t pb_fixed64(pb *r, const pb_field *f);
float pb_f32(pb *r, const pb_field *f);
double pb_f64(pb *r, const pb_field *f);
str pb_bytes(pb *r, const pb_field *f);                          /* p is never NULL */
str pb_text(pb *r, const pb_field *f);                           /* the same, refuses what is not UTF-8 */
pb pb_sub(pb *r, const pb_field *f);                             /* the message inside; check it on its own */

/* Repeated numbers, packed or not: elements are varints, PB_FIXED32 or PB_FIXED64, read through an iterator.
 *   pb it = pb_items(&r, &f, PB_VARINT);  while (pb_item(&it, PB_VARINT, &v)) ...;  then pb_check(&it, ...) */
pb pb_items(pb *r, const pb_field *f, pb_type item);
bool pb_item(pb *it, pb_type item, uint64_t *ret);
size_t pb_item_count(const pb *it, pb_type item);                /* exact where all is well formed */

/* Writing.  Failures stay in the buf; numbers are 1..PB_NUMBER_MAX. */
void pb_put_u64(buf *b, uint32_t number, uint64_t v);
void pb_put_i64(buf *b, uint32_t number, int64_t v);
void pb_put_sint(buf *b, uint32_t number, int64_t v);
void pb_put_bool(buf *b, uint32_t number, bool v);
void pb_put_fixed32(buf *b, uint32_t number, uint32_t v);
void pb_put_fixed64(buf *b, uint32_t number, uint64_t v);
void pb_put_f32(buf *b, uint32_t number, float v);
void pb_put_f64(buf *b, uint32_t number, double v);
void pb_put_bytes(buf *b, uint32_t number, const void *bytes, size_t len);
void pb_put_str(buf *b, uint32_t number, str s);
void pb_put_packed_i64(buf *b, uint32_t number, const int64_t *v, size_t count);   /* writes nothing when empty */
/* A nested message or packed list: what is put between open and close becomes its content.  close moves the content
 * once when its length takes more than a byte; who knows the length beforehand writes pb_put_head and the content. */
size_t pb_open(buf *b, uint32_t number);
void pb_close(buf *b, size_t opened);
void pb_put_head(buf *b, uint32_t number, size_t len);
size_t pb_head_size(uint32_t number, size_t len);                /* bytes that pb_put_head writes */
void pb_print_head(uint8_t *to, uint32_t number, size_t len);    /* into just that many */
size_t pb_varint_size(uint64_t v);

#endif
