/* Blocks of any size keep their bytes, whichever thread takes, grows and gives them; what nobody uses goes back to the
 * heap. */
#include "async/slabs.h"
#include "os/thread.h"
#include "test.h"

#include <malloc.h>

enum { THREADS = 4, BLOCKS = 600, ROUNDS = 50 };

typedef struct {
    thread thread;
    uint64_t seed;
    uint8_t *blocks[BLOCKS];   /* taken by one thread, */
    size_t sizes[BLOCKS];
    bool good;
} worker;

static worker workers[THREADS];

static bool is_whole(const uint8_t *p, size_t n, uint8_t mark)
{
    bool same = true;
    for (size_t i = 0; i < n; i++) same &= p[i] == mark;
    return same;
}

/* Gives what another thread took in the round before, grows some of it, and takes its own. */
static void work(void *ctx)
{
    worker *w = ctx;
    w->good = true;
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t n = w->sizes[i], more = 1 + test_rand(&w->seed) % 3000;
        w->good &= is_whole(w->blocks[i], n, (uint8_t)i);
        if (i % 3 == 0 && n) {
            w->blocks[i] = slabs_grow(w->blocks[i], more);
            w->good &= w->blocks[i] && is_whole(w->blocks[i], n < more ? n : more, (uint8_t)i);
        }
        slabs_give(w->blocks[i]);
        w->sizes[i] = 1 + test_rand(&w->seed) % (i % 7 ? 300 : 3000);
        w->blocks[i] = slabs_take(w->sizes[i]);
        w->good &= w->blocks[i] && (uintptr_t)w->blocks[i] % 16 == 0;
        if (w->blocks[i]) memset(w->blocks[i], (int)(uint8_t)i, w->sizes[i]);
    }
}

static void blocks_may_be_given_back_on_any_thread(void)
{
    err e;
    for (size_t i = 0; i < THREADS; i++) workers[i].seed = i + 1;
    for (int round = 0; round < ROUNDS; round++) {
        worker first = workers[0];
        for (size_t i = 0; i < THREADS; i++) {   /* each gets the blocks of the next one */
            const worker *from = i + 1 < THREADS ? &workers[i + 1] : &first;
            memcpy(workers[i].blocks, from->blocks, sizeof first.blocks);
            memcpy(workers[i].sizes, from->sizes, sizeof first.sizes);
        }
        for (size_t i = 0; i < THREADS; i++)
            CHECK(thread_start(&workers[i].thread, "worker", work, &workers[i], &e) == ERR_OK);
        if (round % 10 == 5) slabs_trim();   /* meanwhile */
        for (size_t i = 0; i < THREADS; i++) {
            thread_join(&workers[i].thread);
            CHECK(workers[i].good);
        }
    }
    for (size_t i = 0; i < THREADS; i++)
        for (size_t k = 0; k < BLOCKS; k++) slabs_give(workers[i].blocks[k]);
    slabs_trim();
}

static void what_nobody_uses_goes_back(void)
{
    static void *many[5000];
    slabs_trim();
    struct mallinfo2 before = mallinfo2();
    for (size_t i = 0; i < COUNTOF(many); i++) many[i] = slabs_take(1 + i % 500);
    struct mallinfo2 full = mallinfo2();
    for (size_t i = 0; i < COUNTOF(many); i++) slabs_give(many[i]);
    slabs_trim();
    struct mallinfo2 after = mallinfo2();
    CHECK(full.uordblks == 0 || full.uordblks > before.uordblks + 1000000);   /* a sanitizer's heap tells nothing */
    CHECK(after.uordblks <= before.uordblks + 16384);   /* the cache of this thread */
}

static void as_realloc_and_free_do(void)
{
    CHECK(!slabs_take(0) && !slabs_take(SIZE_MAX));
    slabs_give(NULL);
    char *p = slabs_grow(NULL, 4);
    CHECK(p && !slabs_grow(p, SIZE_MAX));
    memcpy(p, "abc", 4);
    CHECK(slabs_grow(p, 5) == p);   /* there was room */
    p = slabs_grow(p, 100000);
    CHECK_STR(p, "abc");
    CHECK(!slabs_grow(p, 0));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(blocks_may_be_given_back_on_any_thread),
        TEST(what_nobody_uses_goes_back),
        TEST(as_realloc_and_free_do),
    };
    return test_main(cases, COUNTOF(cases));
}
