/* What a model's queue does follows from the options where no config.pbtxt says otherwise, from Triton's meaning of it
 * where there is one, and never batches what is not proven. */
#include "models/queue_rules.h"
#include "serve_rig.h"
#include "test.h"

static compute *pool;
static turns *shared;
static serve_rig twice, mixing;

static const queue_rules server = {
    .mode = BATCH_ADAPTIVE, .objective_us = 5000, .requests_max = 9, .bytes_max = 77, .inline_us = 50};

static queue_opts applied_to(const queue_rules *r, const model_config *c, model *m)
{
    queue_opts o = {.name = STR("m"), .model = m, .turns = shared};
    err e;
    CHECK(queue_rules_apply(&o, r, c, &e) == ERR_OK);
    CHECK_U64(o.batching.requests_max, r->requests_max);
    CHECK_U64(o.batching.bytes_max, r->bytes_max);
    return o;
}

static queue_opts applied(const queue_rules *r, const model_config *c)
{
    return applied_to(r, c, twice.served.model);
}

static void without_a_configuration_the_options_count(void)
{
    queue_rules r = server;
    queue_opts o = applied(&r, NULL);
    CHECK(o.batching.mode == BATCH_ADAPTIVE && o.batching.objective_us == 5000 && o.inline_us == 50);
    CHECK_U64(o.batching.max_batch, QUEUE_MAX_BATCH);
    CHECK_U64(o.batching.instances, 2);
    CHECK_U64(o.batching.crowded, 1);
    r.max_batch = 7;
    r.mode = BATCH_FIXED;
    r.max_delay_us = 300;
    o = applied(&r, &(model_config){.given = false});
    CHECK(o.batching.mode == BATCH_FIXED && o.batching.max_batch == 7 && o.batching.max_delay_us == 300);
    r.mode = BATCH_OFF;
    o = applied(&r, NULL);
    CHECK(o.batching.mode == BATCH_OFF && o.batching.max_batch == 1);
    CHECK_U64(o.batching.instances, 3);
    CHECK_U64(o.batching.crowded, 0);
}

/* y = x less the mean of all rows. */
static void rows_that_are_not_apart_run_alone(void)
{
    queue_rules r = server;
    queue_opts o = applied_to(&r, NULL, mixing.served.model);
    CHECK(o.batching.max_batch == 1 && o.batching.mode == BATCH_ADAPTIVE);
    CHECK_U64(o.batching.instances, 3);
    r.mode = BATCH_FIXED;
    r.max_delay_us = 300;
    o = applied_to(&r, NULL, mixing.served.model);
    CHECK_U64(o.batching.max_delay_us, 0);   /* nobody to wait for */
    int64_t sizes[] = {2, 4};
    const model_config c = {.given = true,
                            .max_batch_size = 8,
                            .scheduling.dynamic = {.on = true, .delay_us = 100, .preferred = {sizes, 2}}};
    o = applied_to(&r, &c, mixing.served.model);
    CHECK(o.batching.max_batch == 1 && o.batching.max_delay_us == 0 && o.batching.preferred_count == 0);
}

static void a_configuration_without_dynamic_batching_means_none(void)
{
    const model_config c = {.given = true, .max_batch_size = 8};
    queue_opts o = applied(&server, &c);
    CHECK(o.batching.mode == BATCH_OFF && o.batching.max_batch == 1);
    const model_config said = {.given = true, .max_batch_size = 8, .instances_said = true, .instance_count = 5};
    o = applied(&server, &said);
    CHECK_U64(o.batching.instances, 5);
    CHECK_U64(o.batching.crowded, 0);
    CHECK(o.strict && !applied(&server, &c).strict);
}

static void dynamic_batching_is_tritons(void)
{
    int64_t sizes[] = {8, 4, 4, 2};
    level_policy policies[] = {{3, {.delays = true, .timeout_us = 9, .may_override = true, .size_max = 2}}};
    model_config c = {.given = true, .max_batch_size = 8};
    c.scheduling.dynamic = (dynamic_batching){.on = true,
                                              .preferred = {sizes, COUNTOF(sizes)},
                                              .delay_us = 100,
                                              .levels = 3,
                                              .level = 2,
                                              .policy = {.timeout_us = 5, .size_max = 7},
                                              .policies = policies,
                                              .policy_count = 1};
    queue_opts o = applied(&server, &c);
    const batcher_opts *b = &o.batching;
    CHECK(b->mode == BATCH_FIXED && b->max_batch == 8 && b->max_delay_us == 100 && b->objective_us == 0);
    CHECK(b->preferred_count == 3 && b->preferred[0] == 2 && b->preferred[1] == 4 && b->preferred[2] == 8);
    CHECK(b->level_count == 3 && o.level == 1 && o.inline_us == 50);
    for (int i = 0; i < 2; i++) {
        CHECK(b->levels[i].default_timeout_us == 5 && b->levels[i].max_queue_size == 7);
        CHECK(b->levels[i].keep_timeout && !b->levels[i].delay);
    }
    CHECK(b->levels[2].default_timeout_us == 9 && b->levels[2].max_queue_size == 2);
    CHECK(!b->levels[2].keep_timeout && b->levels[2].delay);
    c.scheduling.dynamic.preserve_ordering = true;
    o = applied(&server, &c);
    CHECK(o.batching.preserve_ordering && o.inline_us == 0);
}

static void direct_sequences_wait_for_a_part_of_their_slots(void)
{
    model_config c = {.given = true, .max_batch_size = 8};
    c.scheduling.sequence = (sequence_batching){.on = true, .delay_us = 100};
    queue_opts o = applied(&server, &c);
    CHECK(o.batching.mode == BATCH_FIXED && o.batching.max_delay_us == 0);   /* the delay alone means nothing */
    c.scheduling.sequence.slots_min = 0.3;
    o = applied(&server, &c);
    CHECK(o.batching.max_delay_us == 100 && o.batching.preferred_count == 0);
    CHECK_U64(o.batching.enough, 3);
    c.scheduling.sequence.slots_min = 1;
    CHECK_U64(applied(&server, &c).batching.enough, 8);
    o = applied_to(&server, &c, mixing.served.model);
    CHECK(o.batching.max_batch == 1 && o.batching.max_delay_us == 0);
}

static void oldest_sequences_wait_for_preferred_sizes(void)
{
    int64_t sizes[BATCH_PREFERRED_MAX + 1] = {4, 2};
    model_config c = {.given = true, .max_batch_size = 32};
    c.scheduling.sequence = (sequence_batching){
        .on = true, .oldest = true, .delay_us = 100, .preferred = {sizes, 2}, .preserve_ordering = true};
    queue_opts o = applied(&server, &c);
    CHECK(o.batching.max_delay_us == 100 && o.batching.enough == 0 && o.batching.preserve_ordering);
    CHECK(o.batching.preferred_count == 2 && o.batching.preferred[0] == 2 && o.batching.preferred[1] == 4);
    for (int i = 0; i <= BATCH_PREFERRED_MAX; i++) sizes[i] = i + 1;
    c.max_batch_size = COUNTOF(sizes);
    c.scheduling.sequence.preferred.count = COUNTOF(sizes);
    err e;
    CHECK(queue_rules_apply(&o, &server, &c, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "sequence_batching.oldest.preferred_batch_size of model m: expected at most 128 sizes, got more");
}

static void a_delay_that_is_too_long_is_named(void)
{
    err e;
    queue_opts o = {.name = STR("m"), .model = twice.served.model, .turns = shared};
    model_config c = {.given = true, .max_batch_size = 32};
    c.scheduling.dynamic = (dynamic_batching){.on = true, .delay_us = UINT64_MAX};
    CHECK(queue_rules_apply(&o, &server, &c, &e) == ERR_INVALID);
    CHECK_STR(e.text, "dynamic_batching.max_queue_delay_microseconds of model m: expected at most 4294967295, got "
                      "'18446744073709551615'");
    c.scheduling.dynamic.on = false;
    c.scheduling.sequence = (sequence_batching){.on = true, .slots_min = 0.5, .delay_us = UINT64_C(1) << 32};
    CHECK(queue_rules_apply(&o, &server, &c, &e) == ERR_INVALID);
    CHECK_STR(e.text, "sequence_batching.direct.max_queue_delay_microseconds of model m: expected at most 4294967295, "
                      "got '4294967296'");
}

static void what_is_beyond_the_bounds_is_named(void)
{
    int64_t sizes[BATCH_PREFERRED_MAX + 1];
    for (int i = 0; i <= BATCH_PREFERRED_MAX; i++) sizes[i] = i + 1;
    queue_opts o = {.name = STR("m"), .model = twice.served.model, .turns = shared};
    model_config c = {.given = true, .max_batch_size = COUNTOF(sizes)};
    err e;
    c.scheduling.dynamic = (dynamic_batching){.on = true, .levels = 17, .level = 1};
    CHECK(queue_rules_apply(&o, &server, &c, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "dynamic_batching.priority_levels of model m: expected at most 16, got '17'");
    c.scheduling.dynamic = (dynamic_batching){.on = true, .preferred = {sizes, COUNTOF(sizes)}};
    CHECK(queue_rules_apply(&o, &server, &c, &e) == ERR_UNSUPPORTED);
    CHECK_STR(e.text, "dynamic_batching.preferred_batch_size of model m: expected at most 128 sizes, got more");
}

int main(void)
{
    static const test_case cases[] = {
        TEST(without_a_configuration_the_options_count),
        TEST(rows_that_are_not_apart_run_alone),
        TEST(a_configuration_without_dynamic_batching_means_none),
        TEST(dynamic_batching_is_tritons),
        TEST(direct_sequences_wait_for_a_part_of_their_slots),
        TEST(oldest_sequences_wait_for_preferred_sizes),
        TEST(a_delay_that_is_too_long_is_named),
        TEST(what_is_beyond_the_bounds_is_named),
    };
    onnx_build made;
    err e;
    if (compute_new(&pool, 3, &e) != ERR_OK || turns_new(&shared, pool, false, &e) != ERR_OK) return 1;
    serve_rig_twice(&made);
    serve_rig_start(&twice, &made);
    onnx_build_start(&made, 17);
    onnx_build_input(&made, "x", DT_F32, "N,2");
    onnx_build_node(&made, "ReduceMean", "x", "mean", "axes=[0] keepdims=1");
    onnx_build_node(&made, "Sub", "x,mean", "y", "");
    onnx_build_output(&made, "y", DT_F32, "N,2");
    serve_rig_start(&mixing, &made);
    int rc = test_main(cases, COUNTOF(cases));
    serve_rig_stop(&twice);
    serve_rig_stop(&mixing);
    turns_free(shared);
    compute_free(pool);
    return rc;
}
