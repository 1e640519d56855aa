/* cmd_infer.c - `proa infer`: one inference of a model on any server of the V2 protocol, for people and scripts. */
#include "cli/call_header.h"
#include "cli/cmd.h"
#include "cli/flags.h"
#include "cli/infer_value.h"
#include "cli/tensor_file.h"
#include "cli/tensor_text.h"
#include "cli/trust_flags.h"
#include "cli/v2_grpc.h"
#include "cli/v2_rest.h"
#include "os/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_BYTES_MAX = 1 << 30, TIMEOUT_S = 30, TIMEOUT_S_MAX = 86400, PIXEL_MAX = 1 };
#define PATH "proa infer"
#define ARGS "ADDRESS MODEL --input NAME=VALUE ... [flags]"

typedef struct {
    const char *operands[2];        /* address, model */
    flag_texts inputs, headers;
    const char *version, *key, *out, *protocol;
    tls_trust trust;
    uint64_t timeout_s, pixel_max;
    bool json, help;
} options;

static const char *const after_flags =
    "\nADDRESS  " TRUST_ADDRESS "; grpc[s]://HOST:PORT implies --protocol grpc\n"
    "VALUE    FILE.npy           an array, of the input's type\n"
    "         FILE.json, [1,2]   JSON, nested or flat; 3 and \"text\" are arrays of one\n"
    "         FILE.pgm|ppm|png   pixels, channels where the model has them; a BYTES input gets the file itself\n"
    "         raw:FILE           the elements as they lie in memory, or one string\n"
    "\nExit status: 0 answered, 1 refused by the server, 2 called wrongly, 3 no answer.\n";

typedef struct {
    http_header headers[FLAG_TEXTS_MAX];
    size_t count;
    char bearer[CALL_HEADER_BEARER_MAX];
} fields;

static err_code fields_read(const options *o, fields *ret, err *e)
{
    ret->count = 0;
    if (o->headers.count > V2_REST_HEADERS_MAX - 1)
        return err_set(e, ERR_INVALID, "--header: expected at most %d, got %zu", V2_REST_HEADERS_MAX - 1,
                       o->headers.count);
    for (size_t i = 0; i < o->headers.count; i++) {
        err_code rc = call_header_read(o->headers.items[i], &ret->headers[ret->count++], e);
        if (rc) return rc;
    }
    const char *key = o->key ? o->key : getenv("PROA_API_KEY");
    if (!key || !*key) return ERR_OK;
    return call_header_bearer(key, ret->bearer, &ret->headers[ret->count++], e);
}

static const v2_io *input_named(const v2_model *m, str name)
{
    for (size_t i = 0; i < m->input_count; i++) {
        if (str_eq(m->inputs[i].name, name)) return &m->inputs[i];
    }
    return NULL;
}

static err_code no_such_input(const v2_model *m, str name, err *e)
{
    char list[160] = "";
    size_t n = 0;
    for (size_t i = 0; i < m->input_count && n < sizeof list - 1; i++) {
        int wrote = snprintf(list + n, sizeof list - n, i ? ", '" STR_FMT "'" : "'" STR_FMT "'",
                             STR_ARG(m->inputs[i].name));
        n += wrote > 0 ? (size_t)wrote : 0;
    }
    return err_set(e, ERR_INVALID, "--input: expected %s, got '" STR_FMT "'", list, STR_ARG(name));
}

static err_code inputs_read(const options *o, const v2_model *m, arena *a, v2_value *ret, err *e)
{
    infer_value_opts vo = {.memory = a, .pixel_max = o->pixel_max};
    for (size_t i = 0; i < o->inputs.count; i++) {
        str name, what;
        if (!str_cut(str_of(o->inputs.items[i]), '=', &name, &what))
            return err_set(e, ERR_INVALID, "--input: expected NAME=VALUE, got '%s'", o->inputs.items[i]);
        const v2_io *io = input_named(m, name);
        if (!io) return no_such_input(m, name, e);
        for (size_t k = 0; k < i; k++) {
            if (str_eq(ret[k].name, name))
                return err_set(e, ERR_INVALID, "--input: expected '" STR_FMT "' once, got it twice", STR_ARG(name));
        }
        ret[i].name = io->name;
        err_code rc = infer_value_read(io, what.p, &vo, &ret[i].t, e);   /* ends where argv's string does */
        if (rc) return rc;
    }
    return ERR_OK;
}

static err_code show(const options *o, const v2_answer *answer, arena *a, err *e)
{
    buf b;
    err_code rc = ERR_OK;
    if (o->out) {
        str *names = arena_new(a, str, answer->output_count + 1);
        const tensor **t = arena_new(a, const tensor *, answer->output_count + 1);
        if (!names || !t) return err_set(e, ERR_NOMEM, "%s: no memory", o->out);
        for (size_t i = 0; i < answer->output_count; i++) {
            names[i] = answer->outputs[i].name;
            t[i] = &answer->outputs[i].t;
        }
        rc = tensor_file_save_npz(o->out, names, t, answer->output_count, e);
        if (rc || !o->json) return rc;
    }
    buf_init(&b, OUTPUT_BYTES_MAX);
    if (o->json) tensor_text_json(&b, answer);
    else tensor_text_table(&b, answer->outputs, answer->output_count);
    rc = buf_check(&b, "outputs", e);
    if (rc == ERR_OK) rc = console_out((const char *)b.p, b.len, e);
    buf_fini(&b);
    return rc;
}

/* One of the two. */
typedef struct {
    v2_rest *rest;
    v2_grpc *grpc;
} v2_either;

static int no_answer(const v2_either *s, const err *e)
{
    (void)cmd_fail(PATH, e);
    bool reached = s->grpc ? v2_grpc_reached(s->grpc) : v2_rest_reached(s->rest);
    return reached ? CMD_FAILED : CMD_UNREACHABLE;
}

static int ask(const options *o, const v2_either *s, arena *a)
{
    err e = {.code = ERR_OK};
    v2_model m;
    v2_answer answer;
    v2_value inputs[FLAG_TEXTS_MAX];
    str name = str_of(o->operands[1]), version = str_of(o->version);
    size_t n = o->inputs.count;
    err_code rc = s->grpc ? v2_grpc_model(s->grpc, name, version, a, &m, &e)
                          : v2_rest_model(s->rest, name, version, a, &m, &e);
    if (rc) return no_answer(s, &e);
    if (inputs_read(o, &m, a, inputs, &e)) {
        (void)cmd_fail(PATH, &e);
        return CMD_USAGE;
    }
    rc = s->grpc ? v2_grpc_infer(s->grpc, &m, inputs, n, a, &answer, &e)
                 : v2_rest_infer(s->rest, &m, inputs, n, a, &answer, &e);
    if (rc) return no_answer(s, &e);
    if (show(o, &answer, a, &e) == ERR_OK) return CMD_OK;
    (void)cmd_fail(PATH, &e);
    return CMD_FAILED;
}

static int infer(const options *o, const fields *f, arena *a)
{
    err e = {.code = ERR_OK};
    CLEANUP(v2_rest) v2_rest *rest = NULL;
    CLEANUP(v2_grpc) v2_grpc *grpc = NULL;
    v2_rest_opts ro = {.address = o->operands[0], .wait_us = o->timeout_s * 1000000, .headers = f->headers,
                       .header_count = f->count, .trust = &o->trust};
    bool by_grpc = strcmp(o->protocol, "grpc") == 0;
    trust_flags_warn(PATH, &o->trust);
    err_code rc = by_grpc ? v2_grpc_new(&ro, &grpc, &e) : v2_rest_new(&ro, &rest, &e);
    if (rc) return cmd_usage(PATH, ARGS, &e);
    return ask(o, &(v2_either){.rest = rest, .grpc = grpc}, a);
}

static err_code options_read(options *o, int argc, char **argv, char *help, size_t room, err *e)
{
    const flag flags[] = {
        {.name = "input", .kind = FLAG_TEXTS, .to = &o->inputs, .value = "NAME=VALUE", .help = "once for each input"},
        {.name = "protocol", .kind = FLAG_TEXT, .to = &o->protocol, .value = "rest|grpc",
         .help = "what to speak (rest, or as ADDRESS says)"},
        {.name = "model-version", .kind = FLAG_TEXT, .to = &o->version, .value = "V",
         .help = "of the model (the server's choice)"},
        {.name = "json", .kind = FLAG_SWITCH, .to = &o->json, .help = "print the outputs as JSON, whole"},
        {.name = "out", .kind = FLAG_TEXT, .to = &o->out, .value = "FILE.npz", .help = "write the outputs there"},
        {.name = "header", .kind = FLAG_TEXTS, .to = &o->headers, .value = "'NAME: VALUE'",
         .help = "sent with each request"},
        {.name = "api-key", .kind = FLAG_TEXT, .to = &o->key, .value = "KEY",
         .help = "sent as bearer token (PROA_API_KEY)"},
        TRUST_FLAGS(&o->trust)
        {.name = "timeout", .kind = FLAG_NUMBER, .to = &o->timeout_s, .value = "S", .min = 1, .max = TIMEOUT_S_MAX,
         .help = "seconds for each request (30)"},
        {.name = "pixel-max", .kind = FLAG_NUMBER, .to = &o->pixel_max, .value = "N", .min = 1, .max = 65535,
         .help = "white in a picture for an input of floats (1)"},
        {.name = "help", .kind = FLAG_SWITCH, .to = &o->help, .help = "this text"},
    };
    flag_operands operands = {.at = o->operands, .max = COUNTOF(o->operands)};
    err_code rc = flags_parse(flags, COUNTOF(flags), argc, argv, &operands, e);
    flags_help(flags, COUNTOF(flags), help, room);
    if (rc || o->help) return rc;
    if (operands.count < 2)
        return err_set(e, ERR_INVALID, "expected an address and a model, got %zu of them", operands.count);
    if (!o->protocol) o->protocol = str_starts(str_of(o->operands[0]), STR("grpc")) ? "grpc" : "rest";
    if (strcmp(o->protocol, "rest") != 0 && strcmp(o->protocol, "grpc") != 0)
        return err_set(e, ERR_INVALID, "--protocol: expected rest or grpc, got '%s'", o->protocol);
    if (o->out && !str_ends(str_of(o->out), STR(".npz")))
        return err_set(e, ERR_INVALID, "--out: expected a path that ends in .npz, got '%s'", o->out);
    return ERR_OK;
}

int cmd_infer(int argc, char **argv)
{
    options o = {.timeout_s = TIMEOUT_S, .pixel_max = PIXEL_MAX};
    fields f;
    char help[4096];
    err e;
    err_code rc = options_read(&o, argc, argv, help, sizeof help, &e);
    if (rc == ERR_OK && !o.help) rc = fields_read(&o, &f, &e);
    if (rc) return cmd_usage(PATH, ARGS, &e);
    if (o.help) return cmd_show(PATH, "usage: %s %s\n\n%s%s", PATH, ARGS, help, after_flags);
    arena a;
    arena_init(&a, NULL, 0, SIZE_MAX / 2);
    int status = infer(&o, &f, &a);
    arena_fini(&a);
    return status;
}
