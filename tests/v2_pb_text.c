#include "v2_pb_text.h"

static void hex(buf *out, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) buf_printf(out, "%02x", p[i]);
}

static void done(const pb *m)
{
    err e;
    INVARIANT(pb_check(m, "answer", &e) == ERR_OK);
}

static void parameter(buf *out, pb m)
{
    pb_field f, v;
    while (pb_next(&m, &f)) {
        if (f.number == 1) {
            buf_put_z(out, " p=");
            buf_put_str(out, pb_text(&m, &f));
            continue;
        }
        INVARIANT(f.number == 2);
        pb value = pb_sub(&m, &f);
        while (pb_next(&value, &v)) {
            INVARIANT(v.number >= 1 && v.number <= 3);
            buf_put_byte(out, ':');
            if (v.number == 2) buf_printf(out, "%lld", (long long)pb_i64(&value, &v));
            else if (v.number == 1) buf_put_z(out, pb_bool(&value, &v) ? "true" : "false");
            else buf_put_str(out, pb_text(&value, &v));
        }
        done(&value);
    }
    done(&m);
}

static void output(buf *out, pb m)
{
    pb_field f, c;
    uint64_t d;
    while (pb_next(&m, &f)) {
        switch (f.number) {
        case 1: buf_printf(out, " " STR_FMT ":", STR_ARG(pb_text(&m, &f))); break;
        case 2: buf_put_str(out, pb_text(&m, &f)); break;
        case 3: {
            pb it = pb_items(&m, &f, PB_VARINT);
            buf_put_byte(out, '[');
            for (bool more = false; pb_item(&it, PB_VARINT, &d); more = true)
                buf_printf(out, more ? ",%lld" : "%lld", (long long)d);
            buf_put_byte(out, ']');
            done(&it);
            break;
        }
        case 4: parameter(out, pb_sub(&m, &f)); break;
        default:
            INVARIANT(f.number == 5);
            pb contents = pb_sub(&m, &f);
            buf_put_byte(out, '{');
            while (pb_next(&contents, &c)) {
                buf_printf(out, "%u:", c.number);
                hex(out, c.p, c.len);
                buf_put_byte(out, ';');
            }
            buf_put_byte(out, '}');
            done(&contents);
        }
    }
    done(&m);
}

static void response(buf *out, pb m)
{
    pb_field f;
    while (pb_next(&m, &f)) {
        switch (f.number) {
        case 1: buf_put_str(out, pb_text(&m, &f)); break;
        case 2: buf_printf(out, "/" STR_FMT, STR_ARG(pb_text(&m, &f))); break;
        case 3: buf_printf(out, " id=" STR_FMT, STR_ARG(pb_text(&m, &f))); break;
        case 4: parameter(out, pb_sub(&m, &f)); break;
        case 5: output(out, pb_sub(&m, &f)); break;
        default:
            INVARIANT(f.number == 6 && f.type == PB_BYTES);
            buf_put_z(out, " raw=");
            hex(out, f.p, f.len);
        }
    }
    done(&m);
}

void v2_pb_text(buf *out, str message)
{
    pb m;
    pb_init(&m, message.p, message.len);
    response(out, m);
}

void v2_pb_stream_text(buf *out, str message)
{
    pb m;
    pb_field f;
    pb_init(&m, message.p, message.len);
    while (pb_next(&m, &f)) {
        if (f.number == 1) {
            buf_printf(out, "error=" STR_FMT, STR_ARG(pb_text(&m, &f)));
            continue;
        }
        INVARIANT(f.number == 2);
        buf_put_byte(out, '{');
        response(out, pb_sub(&m, &f));
        buf_put_byte(out, '}');
    }
    done(&m);
}
