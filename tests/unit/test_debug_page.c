/* The page comes whole, each time under a policy of its own, and its figures are those of the metrics page as JSON. */
#include "http_rig.h"
#include "test.h"
#include "wire/json.h"

#include <stdlib.h>

static char path[64];
static http_rig r;

static void start(void)
{
    INVARIANT(http_rig_start(&r, &(http_rig_opts){.threads = "1"}, (const char *const[]){"m", path, NULL}));
}

/* The number behind `what` in what came. */
static const char *nonce_in(const char *what)
{
    static char found[2][33];
    static int turn;
    char *to = found[turn++ % 2];
    const char *at = strstr(r.got, what);
    snprintf(to, 33, "%.32s", at ? at + strlen(what) : "");
    return to;
}

static void its_policy_lets_its_own_script_run(void)
{
    char before[33];
    start();
    const char *head = http_rig_get(&r, "/debug/models");
    CHECK(str_starts(str_of(head), STR("200 OK\r\n")));
    CHECK(http_rig_has(&r, "Content-Type: text/html; charset=utf-8\r\n"));
    CHECK(http_rig_has(&r, "Cache-Control: no-store\r\n"));
    CHECK(http_rig_has(&r, "Content-Security-Policy: default-src 'none'; style-src 'nonce-"));
    const char *allowed = nonce_in("script-src 'nonce-");
    CHECK_U64(strspn(allowed, "0123456789abcdef"), 32);
    CHECK_STR(nonce_in("<script nonce=\""), allowed);
    CHECK_STR(nonce_in("<style nonce=\""), allowed);
    CHECK(http_rig_has(&r, "</html>\n"));
    snprintf(before, sizeof before, "%s", allowed);
    http_rig_get(&r, "/debug/models");
    CHECK(strcmp(nonce_in("script-src 'nonce-"), before) != 0);
    http_rig_stop(&r);
}

static void its_figures_are_those_of_the_metrics(void)
{
    arena a;
    yyjson_val *root = NULL;
    err e;
    start();
    http_rig_get(&r, "/debug/models.json");
    arena_init(&a, NULL, 0, 1 << 22);
    CHECK(json_parse((str){r.got + r.body_at, r.body_len}, &(json_opts){.memory = &a}, &root, &e) == ERR_OK);
    yyjson_val *rows = yyjson_obj_get(root, "rows"), *its = yyjson_arr_get(yyjson_obj_get(root, "models"), 0);
    yyjson_val *values = yyjson_obj_get(its, "values");
    CHECK(yyjson_arr_size(rows) > 10 && yyjson_arr_size(values) == yyjson_arr_size(rows));
    CHECK_STR(yyjson_get_str(yyjson_obj_get(its, "name")), "m");
    CHECK_STR(yyjson_get_str(yyjson_obj_get(its, "version")), "1");
    for (size_t i = 0; i < yyjson_arr_size(rows); i++) {
        const char *type = yyjson_get_str(yyjson_obj_get(yyjson_arr_get(rows, i), "type"));
        yyjson_val *v = yyjson_arr_get(values, i);
        if (strcmp(type, "histogram") == 0)
            CHECK_U64(yyjson_arr_size(yyjson_obj_get(v, "buckets")), METRIC_BUCKETS);
        else if (strcmp(type, "rows") == 0)
            CHECK(yyjson_is_num(yyjson_obj_get(v, "runs")) && yyjson_is_num(yyjson_obj_get(v, "rows")));
        else
            CHECK(yyjson_is_num(v));
    }
    bool labelled = false;
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(yyjson_obj_get(root, "server"), i, n, one)
    {
        const char *labels = yyjson_get_str(yyjson_obj_get(one, "labels"));
        labelled |= labels && strcmp(labels, "protocol=\"http1\" code=\"2xx\"") == 0;
        CHECK(yyjson_is_num(yyjson_obj_get(one, "value")));
    }
    CHECK(labelled);
    arena_fini(&a);
    http_rig_stop(&r);
}

static void without_memory_it_is_an_error(void)
{
    start();
    for (int fault = 0; fault < 30; fault++) {
        static const char *const paths[] = {"/debug/models", "/debug/models.json"};
        mem_fault_after(fault);
        const char *got = http_rig_get(&r, paths[fault % 2]);
        mem_fault_after(-1);
        CHECK(strstr(got, "200 OK") || strstr(got, "503") || strcmp(got, "closed") == 0);
    }
    CHECK(strstr(http_rig_get(&r, "/debug/models"), "200 OK"));
    http_rig_stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(its_policy_lets_its_own_script_run),
        TEST(its_figures_are_those_of_the_metrics),
        TEST(without_memory_it_is_an_error),
    };
    return serve_rig_main(cases, COUNTOF(cases), path);
}
