/* Who has the control socket may do what nobody else may: load from any path, whatever the options say of clients; its
 * file is for one user, and goes with the server. */
#include "http_rig.h"
#include "net/listeners.h"
#include "serve/owner_door.h"
#include "test.h"
#include "test_folder.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char twice[64], same[64];
static char door_path[96];
static http_rig r;
static server *door;

static err_code open_door(server **ret, err *e)
{
    sock_addr at;
    err_code rc = sock_addr_unix(&at, door_path, e);
    const owner_door_opts o = {.on = r.loop, .at = &at, .limits = &http_limits_default, .endpoints = &r.endpoints};
    return rc ? rc : owner_door_open(ret, &o, e);
}

static void start(void)
{
    err e;
    INVARIANT(http_rig_start(&r, &(http_rig_opts){.threads = "1"}, (const char *const[]){NULL}));
    r.endpoints.slot = true;
    CHECK(open_door(&door, &e) == ERR_OK);
}

static void stop(void)
{
    http_rig_hang_up(&r, false);
    server_abort(door);
    server_free(TAKE(door));
    http_rig_stop(&r);
}

/* The rig's client, at the door. */
static const char *ask(const char *path, const char *body)
{
    static char request[1000];
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", door_path);
    http_rig_hang_up(&r, false);
    http_rig_get(&r, "/v2/health/live");   /* a connection, whose socket is exchanged */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    err e;
    if (r.client.on) loop_fd_del(&r.client);
    close(r.client.fd);
    r.client.fd = fd;
    CHECK(loop_fd_add(r.loop, &r.client, LOOP_READ, &e) == ERR_OK);
    int n = body ? snprintf(request, sizeof request, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s",
                            path, strlen(body), body)
                 : snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    return http_rig_ask(&r, request, (size_t)n);
}

/* The next asks of the rig are everybody's. */
static http_rig *outside(void)
{
    http_rig_hang_up(&r, false);
    return &r;
}

static bool says(const char *path, const char *body, const char *want)
{
    const char *got = ask(path, body);
    if (strstr(got, want)) return true;
    printf("# %s: %s\n", path, got);
    return false;
}

static const char *load(const char *path)
{
    static char text[200];
    snprintf(text, sizeof text, "{\"parameters\":{\"path\":\"%s\"}}", path);
    return text;
}

#define LOAD "/v2/repository/models/m/load"
#define UNLOAD "/v2/repository/models/m/unload"
#define INFER "/v2/models/m/infer"
static const char asked[] = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";

static void a_slot_is_ready_while_it_has_a_model(void)
{
    start();
    CHECK(strstr(http_rig_get(outside(), "/readyz"), "503") && http_rig_has(&r, "no model"));
    CHECK(strstr(http_rig_get(outside(), "/v2/health/live"), "200"));
    CHECK(says(LOAD, load(twice), "200 OK"));
    CHECK(strstr(http_rig_get(outside(), "/readyz"), "200"));
    CHECK(strstr(http_rig_post(outside(), INFER, "", asked, strlen(asked)), "\"data\":[2.0,4.0]"));
    CHECK(says(UNLOAD, "", "200 OK"));
    CHECK(strstr(http_rig_get(outside(), "/v2/health/ready"), "503"));
    stop();
}

static void nobody_else_may(void)
{
    start();
    CHECK(strstr(http_rig_post(outside(), LOAD, "", "{}", 2), "explicit model load / unload is not allowed"));
    const char *body = load(twice);
    CHECK(strstr(http_rig_post(outside(), LOAD, "", body, strlen(body)), "403 Forbidden"));
    CHECK(http_rig_has(&r, "parameter 'path': expected it over the socket of --control alone"));
    CHECK(says(LOAD, body, "200 OK"));
    CHECK(strstr(http_rig_post(outside(), UNLOAD, "", "", 0), "explicit model load / unload is not allowed"));
    CHECK(says(INFER, asked, "\"data\":[2.0,4.0]"));
    stop();
}

static void a_name_may_get_another_path(void)
{
    start();
    CHECK(says(LOAD, load(twice), "200 OK"));
    CHECK(says(LOAD, load(twice), "200 OK"));   /* twice the same: read anew */
    CHECK(says(LOAD, load(same), "200 OK"));
    CHECK(says("/v2/models/m", NULL, "\"datatype\":\"FP64\""));
    CHECK(says(LOAD, load("/nowhere/at-all"), "404 Not Found") &&
          http_rig_has(&r, "failed to load 'm': /nowhere/at-all: cannot look up: No such file or directory"));
    CHECK(says("/v2/models/m", NULL, "\"datatype\":\"FP64\""));
    CHECK(says(LOAD, "{}", "200 OK"));          /* from where it came last */
    CHECK(says("/v2/models/m", NULL, "\"datatype\":\"FP64\""));
    CHECK(says(UNLOAD, "", "200 OK"));
    CHECK(says(LOAD, load(twice), "200 OK"));
    CHECK(says(INFER, asked, "\"data\":[2.0,4.0]"));
    stop();
}

static void garbage_changes_nothing(void)
{
    start();
    CHECK(says(LOAD, "{\"parameters\":{\"path\":1}}", "parameter 'path': expected a string"));
    CHECK(says(LOAD, load(""), "path: expected 1..4095 bytes without a zero, got 0 bytes"));
    CHECK(says(LOAD, "{\"parameters\":{\"path\":\"a\\u0000b\"}}", "without a zero, got 3 bytes"));
    CHECK(says(LOAD, load("/nowhere"), "404 Not Found"));
    CHECK(says(LOAD, "]", "400 Bad Request"));
    CHECK(says("/v2/repository/models/a%20b/load", load(twice), "model name: expected 1..128 characters"));
    CHECK(says("/inference.GRPCInferenceService/RepositoryModelLoad", "", "404 Not Found"));
    CHECK(says("/v2/repository/index", "{}", "\r\n\r\n[]"));
    stop();
}

static void its_file_is_for_one_user(void)
{
    start();
    CHECK(test_folder_mode("door") == 0600);
    server *second = NULL;
    err e;
    CHECK(open_door(&second, &e) == ERR_CONFLICT);
    CHECK(str_starts(str_of(e.text), STR("control: unix:")));
    stop();
    CHECK(test_folder_mode("door") == -1);
}

static void opening_it_survives_failed_allocations(void)
{
    INVARIANT(http_rig_start(&r, &(http_rig_opts){.threads = "1"}, (const char *const[]){NULL}));
    FAULT_SWEEP({
        server *s = NULL;
        err e;
        if (open_door(&s, &e) == ERR_OK) server_abort(s);
        server_free(s);
        CHECK(test_folder_mode("door") == -1);
    });
    http_rig_stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_slot_is_ready_while_it_has_a_model),
        TEST(nobody_else_may),
        TEST(a_name_may_get_another_path),
        TEST(garbage_changes_nothing),
        TEST(its_file_is_for_one_user),
        TEST(opening_it_survives_failed_allocations),
    };
    onnx_build b, other;
    serve_rig_twice(&b);
    serve_rig_save(&b, twice);
    serve_rig_same(&other, DT_F64, "3");
    serve_rig_save(&other, same);
    if (!test_folder_open()) return 1;
    snprintf(door_path, sizeof door_path, "%s", test_folder_path("door"));
    int rc = test_main(cases, COUNTOF(cases));
    test_folder_close();
    serve_rig_unsave(twice);
    serve_rig_unsave(same);
    onnx_build_end(&b);
    onnx_build_end(&other);
    return rc;
}
