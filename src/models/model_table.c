#include "models/model_table.h"

#include "models/served.h"

#include <stdio.h>
#include <string.h>

enum { COLUMNS = 7, CELL_BYTES = 4 * MODEL_TABLE_CELL_MAX + 1, GAP = 2 };

/* Text of at most MODEL_TABLE_CELL_MAX characters; what comes behind them is dropped, and the end says so. */
typedef struct {
    size_t len, width, cut_at; /* bytes, characters; bytes before the last three characters */
    bool cut;
    char text[CELL_BYTES];
} cell;

/* Room for three dots is kept: `cut_at` is where they go when one character too many comes. */
static void cell_add(cell *c, const char *bytes, size_t n)
{
    if (c->cut) return;
    if (c->width == MODEL_TABLE_CELL_MAX) {
        memcpy(c->text + c->cut_at, "...", 4);
        c->len = c->cut_at + 3;
        c->cut = true;
        return;
    }
    if (c->width == MODEL_TABLE_CELL_MAX - 3) c->cut_at = c->len;
    memcpy(c->text + c->len, bytes, n);
    c->len += n;
    c->width++;
}

static void cell_put(cell *c, str s)
{
    while (s.len > 0) {
        uint32_t code;
        size_t n = str_utf8_step(s, &code);
        bool control = n == 0 || code < ' ' || (code >= 0x7F && code < 0xA0);
        if (control) cell_add(c, "?", 1);
        else cell_add(c, s.p, n);
        if (n == 0) n = 1;
        s.p += n;
        s.len -= n;
    }
}

static void ios_put(cell *c, uint32_t count, const model_io *all)
{
    char text[SHAPE_TEXT_MAX];
    for (uint32_t i = 0; i < count && !c->cut; i++) {
        const model_io *io = &all[i];
        const char *type = dtype_v2_name(io->type);
        if (i) cell_put(c, STR(", "));
        cell_put(c, io->name);
        cell_put(c, STR(" "));
        cell_put(c, str_of(type ? type : dtype_name(io->type)));
        cell_put(c, STR(" "));
        cell_put(c, str_of(io->ranked ? shape_text(&io->shape, text) : "[...]"));
    }
}

static void row_make(cell row[COLUMNS], const served *s)
{
    char text[40];
    memset(row, 0, COLUMNS * sizeof *row);
    cell_put(&row[0], s->name);
    cell_put(&row[1], s->version);
    ios_put(&row[2], s->ios.input_count, s->ios.inputs);
    ios_put(&row[3], s->ios.output_count, s->ios.outputs);
    snprintf(text, sizeof text, "%lld", (long long)atomic_load(&s->metrics.instances));
    cell_put(&row[4], s->queue ? str_of(text) : STR("-"));
    snprintf(text, sizeof text, "%.1f MB", (double)served_bytes(s) / 1e6);
    cell_put(&row[5], str_of(text));
    snprintf(text, sizeof text, "%.1f ms", (double)s->load_us / 1e3);
    cell_put(&row[6], str_of(text));
}

static void row_put(buf *out, const cell row[COLUMNS], const size_t widths[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++) {
        bool last = i == COLUMNS - 1, number = i >= 4;
        size_t pad = widths[i] - row[i].width;
        for (size_t k = 0; k < pad && number; k++) buf_put_byte(out, ' ');
        buf_put(out, row[i].text, row[i].len);
        for (size_t k = 0; k < pad + GAP && !number; k++) buf_put_byte(out, ' ');
        for (size_t k = 0; k < GAP && number && !last; k++) buf_put_byte(out, ' ');
    }
    buf_put_byte(out, '\n');
}

/* How many there are; the first of them are in `ret`. */
static size_t versions_of(const repository *models, const served *ret[MODEL_TABLE_ROWS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < repository_count(models); i++) {
        const lineup *l = repository_lineup(models, i);
        for (size_t k = 0; l && k < l->count; k++, n++)
            if (n < MODEL_TABLE_ROWS_MAX) ret[n] = l->all[k];
    }
    return n;
}

void model_table_print(buf *out, const repository *models)
{
    static const char *const heads[COLUMNS] = {
        "MODEL", "VERSION", "INPUTS", "OUTPUTS", "INSTANCES", "MEMORY", "LOADED"};
    cell row[COLUMNS];
    const served *all[MODEL_TABLE_ROWS_MAX];
    size_t widths[COLUMNS], count = versions_of(models, all);
    size_t shown = count < MODEL_TABLE_ROWS_MAX ? count : MODEL_TABLE_ROWS_MAX;
    for (size_t i = 0; i < COLUMNS; i++) widths[i] = strlen(heads[i]);
    for (size_t k = 0; k < shown; k++) {
        row_make(row, all[k]);
        for (size_t i = 0; i < COLUMNS; i++) widths[i] = row[i].width > widths[i] ? row[i].width : widths[i];
    }
    memset(row, 0, sizeof row);
    for (size_t i = 0; i < COLUMNS; i++) cell_put(&row[i], str_of(heads[i]));
    row_put(out, row, widths);
    for (size_t k = 0; k < shown; k++) {
        row_make(row, all[k]);
        row_put(out, row, widths);
    }
    if (count > shown) buf_printf(out, "and %zu more\n", count - shown);
}
