#include "jobs/job_log.h"

#include "wire/crc32.h"

#include <string.h>

/* A record's head: where its fields lie. */
enum { MAGIC_AT = 0, HEAD_SUM_AT = 4, KIND_AT = 8, META_LEN_AT = 12, ID_AT = 16, META_SUM_AT = 32, BODY_SUM_AT = 36,
       BODY_LEN_AT = 40 };
/* Half of a segment's head. */
enum { HALF_BYTES = JOB_LOG_HEAD_BYTES / 2, SALT_AT = 8, NUMBER_AT = 16, HALF_SUM_AT = 28 };

static const char segment_magic[8] = "PROAJOB1", record_magic[4] = "\xF1JOB";

static void put(uint8_t *to, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) to[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get(const uint8_t *from, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= (uint64_t)from[i] << 8 * i;
    return v;
}

static str view(const void *p, size_t len) { return (str){p, len}; }

/* Where a segment's sums begin. */
static uint32_t seed_of(uint64_t salt)
{
    uint8_t le[8];
    put(le, salt, 8);
    return crc32c_of(0, view(le, sizeof le));
}

/* ---- a segment's head ---- */

void job_log_head_put(buf *out, const job_log_head *head)
{
    uint8_t half[HALF_BYTES] = {0};
    memcpy(half, segment_magic, sizeof segment_magic);
    put(half + SALT_AT, head->salt, 8);
    put(half + NUMBER_AT, head->number, 4);
    put(half + HALF_SUM_AT, crc32c_of(0, view(half, HALF_SUM_AT)), 4);
    buf_put(out, half, sizeof half);
    buf_put(out, half, sizeof half);
}

static bool half_read(const uint8_t *half, job_log_head *ret)
{
    if (memcmp(half, segment_magic, sizeof segment_magic) != 0) return false;
    if (get(half + HALF_SUM_AT, 4) != crc32c_of(0, view(half, HALF_SUM_AT))) return false;
    *ret = (job_log_head){.salt = get(half + SALT_AT, 8), .number = (uint32_t)get(half + NUMBER_AT, 4)};
    return true;
}

/* ---- a record ---- */

uint64_t job_record_bytes(const job_record *r) { return JOB_RECORD_HEAD_BYTES + r->meta.len + r->body.len; }

void job_record_put(buf *out, uint64_t salt, const job_record *r)
{
    uint8_t head[JOB_RECORD_HEAD_BYTES] = {0};
    uint32_t seed = seed_of(salt);
    INVARIANT(r->meta.len <= UINT32_MAX);
    memcpy(head + MAGIC_AT, record_magic, sizeof record_magic);
    put(head + KIND_AT, r->kind, 1);
    put(head + META_LEN_AT, r->meta.len, 4);
    memcpy(head + ID_AT, r->id.bytes, JOB_ID_BYTES);
    put(head + META_SUM_AT, crc32c_of(seed, r->meta), 4);
    put(head + BODY_SUM_AT, crc32c_of(seed, r->body), 4);
    put(head + BODY_LEN_AT, r->body.len, 8);
    put(head + HEAD_SUM_AT, crc32c_of(seed, view(head + KIND_AT, sizeof head - KIND_AT)), 4);
    buf_put(out, head, sizeof head);
    buf_put_str(out, r->meta);
}

/* How long the record at the beginning of `bytes` says it is, whose sums are not checked yet; 0 = there is none. */
static uint64_t head_read(str bytes, uint32_t seed)
{
    const uint8_t *head = (const uint8_t *)bytes.p;
    if (bytes.len < JOB_RECORD_HEAD_BYTES || memcmp(head, record_magic, sizeof record_magic) != 0) return 0;
    str summed = view(head + KIND_AT, JOB_RECORD_HEAD_BYTES - KIND_AT);
    if (get(head + HEAD_SUM_AT, 4) != crc32c_of(seed, summed)) return 0;
    uint64_t body = get(head + BODY_LEN_AT, 8), rest = bytes.len - JOB_RECORD_HEAD_BYTES;
    uint64_t meta = get(head + META_LEN_AT, 4);
    if (meta > rest || body > rest - meta) return 0;
    return JOB_RECORD_HEAD_BYTES + meta + body;
}

static bool content_read(str bytes, uint32_t seed, job_record *ret)
{
    const uint8_t *head = (const uint8_t *)bytes.p;
    size_t meta = (size_t)get(head + META_LEN_AT, 4);
    uint64_t kind = get(head + KIND_AT, 1);
    job_record r = {.kind = (job_record_kind)kind};
    memcpy(r.id.bytes, head + ID_AT, JOB_ID_BYTES);
    r.meta = (str){bytes.p + JOB_RECORD_HEAD_BYTES, meta};
    r.body = (str){r.meta.p + meta, bytes.len - JOB_RECORD_HEAD_BYTES - meta};
    if (kind < JOB_RECORD_ASK || kind >= JOB_RECORD_KINDS) return false;
    if (get(head + META_SUM_AT, 4) != crc32c_of(seed, r.meta)) return false;
    if (get(head + BODY_SUM_AT, 4) != crc32c_of(seed, r.body)) return false;
    *ret = r;
    return true;
}

bool job_record_read(str bytes, uint64_t salt, job_record *ret)
{
    uint32_t seed = seed_of(salt);
    return bytes.len && head_read(bytes, seed) == bytes.len && content_read(bytes, seed, ret);
}

/* ---- reading on ---- */

bool job_log_begin(job_log_reader *r, str bytes)
{
    *r = (job_log_reader){.bytes = bytes, .at = JOB_LOG_HEAD_BYTES, .whole = JOB_LOG_HEAD_BYTES};
    if (bytes.len < JOB_LOG_HEAD_BYTES) return false;
    const uint8_t *p = (const uint8_t *)bytes.p;
    return half_read(p, &r->head) || half_read(p + HALF_BYTES, &r->head);
}

bool job_log_is_other(str bytes)
{
    enum { NAME_BYTES = sizeof segment_magic - 1 };   /* then one digit */
    return bytes.len > NAME_BYTES && memcmp(bytes.p, segment_magic, NAME_BYTES) == 0 &&
           bytes.p[NAME_BYTES] != segment_magic[NAME_BYTES];
}

/* From where no record is to the next place that looks like one; false = there is none. */
static bool go_over(job_log_reader *r)
{
    if (!r->lost) r->torn++;
    r->lost = true;
    r->at++;
    const char *next = memmem(r->bytes.p + r->at, r->bytes.len - r->at, record_magic, sizeof record_magic);
    if (next) r->at = (size_t)(next - r->bytes.p);
    return next != NULL;
}

bool job_log_next(job_log_reader *r, job_record *ret, uint64_t *ret_at)
{
    uint32_t seed = seed_of(r->head.salt);
    while (r->at < r->bytes.len) {
        str rest = {r->bytes.p + r->at, r->bytes.len - r->at};
        uint64_t bytes = head_read(rest, seed);
        if (bytes == 0) {
            if (!go_over(r)) break;
            continue;
        }
        bool good = content_read((str){rest.p, (size_t)bytes}, seed, ret);
        if (good) *ret_at = r->at;
        r->at += (size_t)bytes;
        r->lost = false;
        if (!good) r->torn++;
        if (!good) continue;
        r->whole = r->at;
        r->damaged += r->torn;
        r->torn = 0;
        return true;
    }
    r->at = r->bytes.len;
    return false;
}
