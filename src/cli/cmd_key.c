/* cmd_key.c - `proa key`: makes an API key and shows it once, with the line that goes into the file of --api-keys.
 *
 * The line alone is on standard output, so that `proa key >> keys` is the whole way; the key is on standard error. */
#include "base/buf.h"
#include "cli/cmd.h"
#include "cli/flags.h"
#include "os/console.h"
#include "os/random.h"
#include "serve/api_keys.h"

enum { LINE_BYTES_MAX = 1 << 18 };

static const char path[] = "proa key", args[] = "[--name NAME] [MODEL ...]";

typedef struct {
    const char *name;
    str models[API_KEYS_MODELS_MAX];
    size_t model_count;
    bool help;
} options;

static err_code options_check(const options *o, err *e)
{
    err_code rc = api_key_name_check(str_of(o->name), e);
    if (rc) return err_wrap(e, "--name");
    for (size_t i = 0; i < o->model_count && rc == ERR_OK; i++) rc = api_key_model_check(o->models[i], e);
    return rc;
}

static err_code key_make(const options *o, err *e)
{
    uint8_t random[API_KEYS_RANDOM_BYTES];
    char secret[API_KEYS_TEXT_BYTES + 1];
    buf line;
    err_code rc = random_bytes(random, sizeof random, e);
    if (rc) return rc;
    api_key_text(random, secret);
    secret[API_KEYS_TEXT_BYTES] = '\n';
    buf_init(&line, LINE_BYTES_MAX);
    api_key_line(&line, str_of(o->name), (str){secret, API_KEYS_TEXT_BYTES}, o->models, o->model_count);
    buf_put_byte(&line, '\n');
    rc = buf_check(&line, path, e);
    if (rc == ERR_OK) rc = console_out((const char *)line.p, line.len, e);
    /* Not before its line is safe.  What is in the file without its key opens nothing. */
    if (rc == ERR_OK) rc = console_err_all(secret, sizeof secret, e);
    buf_fini(&line);
    return rc;
}

static int help_print(const flag *flags, size_t count)
{
    char text[2048];
    flags_help(flags, count, text, sizeof text);
    return cmd_show(path,
                    "usage: %s %s\n\n"
                    "Makes an API key for proa serve --api-keys. The key is printed once, to standard error; what goes"
                    "\ninto the file, to standard output: proa key --name team-a 'iris-*' >> keys\n\n"
                    "  MODEL                        what it may use: names, or patterns with * and ?; all without any"
                    "\n%s", path, args, text);
}

int cmd_key(int argc, char **argv)
{
    options o = {.name = "key", .models = {STR("*")}, .model_count = 1};
    const flag flags[] = {
        {.name = "name", .kind = FLAG_TEXT, .to = &o.name, .value = "NAME", .help = "whose it is"},
        {.name = "help", .kind = FLAG_SWITCH, .to = &o.help, .help = "this text"},
    };
    const char *models[API_KEYS_MODELS_MAX];
    flag_operands operands = {.at = models, .max = COUNTOF(models)};
    err e;
    if (flags_parse(flags, COUNTOF(flags), argc, argv, &operands, &e)) return cmd_usage(path, args, &e);
    if (o.help) return help_print(flags, COUNTOF(flags));
    for (size_t i = 0; i < operands.count; i++) o.models[i] = str_of(models[i]);
    if (operands.count) o.model_count = operands.count;
    if (options_check(&o, &e)) return cmd_usage(path, args, &e);
    return key_make(&o, &e) ? cmd_fail(path, &e) : CMD_OK;
}
