/* Any bytes are a log: what is read from it lies within it, in order, and says the same when it is written again. */
#include "base/base.h"
#include "jobs/job_log.h"
#include "jobs/job_meta.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const job_log_reader *r, const job_record *got)
{
    buf b;
    job_record back;
    buf_init(&b, 1 << 22);
    job_record_put(&b, r->head.salt, got);
    buf_put_str(&b, got->body);
    INVARIANT(b.full || job_record_read(buf_str(&b), r->head.salt, &back));
    buf_fini(&b);
}

static void meta_again(str bytes)
{
    buf b;
    job_meta meta;
    if (!job_meta_read(bytes, &meta)) return;
    buf_init(&b, 1 << 22);
    job_meta_put(&b, &meta);
    INVARIANT(b.full || str_eq(buf_str(&b), bytes));
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    job_log_reader r;
    job_record got;
    uint64_t at, end = JOB_LOG_HEAD_BYTES;
    meta_again((str){(const char *)data, size});
    if (!job_log_begin(&r, (str){(const char *)data, size})) return 0;
    while (job_log_next(&r, &got, &at)) {
        INVARIANT(at >= end && at + job_record_bytes(&got) == r.whole && r.whole <= size);
        end = r.whole;
        again(&r, &got);
        meta_again(got.meta);
    }
    return 0;
}
