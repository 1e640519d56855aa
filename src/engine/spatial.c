#include "engine/spatial.h"

/* Far above any model, far below where products of sizes and steps could wrap. */
enum { STEP_MAX = 1 << 24 };

/* An attribute that is a list, and what may stand in it. */
typedef struct {
    const char *name;
    uint32_t count_max;
    int64_t least;
} list;

static err_code read_list(const int64_t **ret, uint32_t *ret_count, const graph *g, const node *n, list want, err *e)
{
    char text[200];
    *ret = node_ints(n, want.name, ret_count);
    if (*ret_count > want.count_max)
        return err_set(e, ERR_UNSUPPORTED, "%s: attribute '%s': expected at most %u values, got %u",
                       node_text(g, n, text), want.name, want.count_max, *ret_count);
    for (uint32_t i = 0; i < *ret_count; i++)
        if ((*ret)[i] < want.least || (*ret)[i] > STEP_MAX)
            return err_set(e, ERR_INVALID, "%s: attribute '%s': expected %d to %d, got %lld", node_text(g, n, text),
                           want.name, (int)want.least, STEP_MAX, (long long)(*ret)[i]);
    return ERR_OK;
}

err_code spatial_read(spatial *ret, const graph *g, const node *n, err *e)
{
    static const char *const modes[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    spatial s = {.ceil = node_int(n, "ceil_mode", 0) != 0};
    char text[200];
    str mode = node_str(n, "auto_pad", str_of("NOTSET"));
    size_t i = 0;
    while (i < COUNTOF(modes) && !str_is(mode, modes[i])) i++;
    if (i == COUNTOF(modes))
        return err_set(e, ERR_INVALID,
                       "%s: attribute 'auto_pad': expected NOTSET, SAME_UPPER, SAME_LOWER or VALID, "
                       "got '" STR_FMT "'",
                       node_text(g, n, text), STR_ARG(mode));
    s.mode = (pad_mode)i;
    err_code rc = read_list(&s.kernel, &s.kernel_count, g, n, (list){"kernel_shape", SPATIAL_MAX, 1}, e);
    if (!rc) rc = read_list(&s.stride, &s.stride_count, g, n, (list){"strides", SPATIAL_MAX, 1}, e);
    if (!rc) rc = read_list(&s.dilation, &s.dilation_count, g, n, (list){"dilations", SPATIAL_MAX, 1}, e);
    if (!rc) rc = read_list(&s.pad, &s.pad_count, g, n, (list){"pads", 2 * SPATIAL_MAX, 0}, e);
    if (!rc) *ret = s;
    return rc;
}

static err_code length_check(const op_call *c, const char *name, uint32_t got, uint32_t want, err *e)
{
    if (got == 0 || got == want) return ERR_OK;
    return op_err(c, e, ERR_INVALID, "attribute '%s': expected %u values, got %u", name, want, got);
}

err_code spatial_lists(spatial_fit *ret, const spatial *s, const op_call *c, uint32_t count, const int64_t *in,
                       const int64_t *kernel, err *e)
{
    spatial_fit f = {.count = count,
                     .in = {1, 1, 1},
                     .out = {1, 1, 1},
                     .kernel = {1, 1, 1},
                     .stride = {1, 1, 1},
                     .dilation = {1, 1, 1}};
    if (count < 1 || count > SPATIAL_MAX)
        return op_err(c, e, ERR_UNSUPPORTED, "input 0: expected 1 to %d spatial dimensions, got %u", SPATIAL_MAX,
                      count);
    err_code rc = length_check(c, "kernel_shape", s->kernel_count, count, e);
    if (!rc) rc = length_check(c, "strides", s->stride_count, count, e);
    if (!rc) rc = length_check(c, "dilations", s->dilation_count, count, e);
    if (!rc) rc = length_check(c, "pads", s->pad_count, 2 * count, e);
    if (!rc && !kernel && s->kernel_count == 0)
        rc = op_err(c, e, ERR_INVALID, "attribute 'kernel_shape': expected %u values, got none", count);
    if (rc) return rc;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t d = SPATIAL_MAX - count + i;
        int64_t size = kernel ? kernel[i] : s->kernel[i];
        if (kernel && s->kernel_count && s->kernel[i] != size)
            return op_err(c, e, ERR_INVALID, "attribute 'kernel_shape': expected %lld as the weights have, got %lld",
                          (long long)size, (long long)s->kernel[i]);
        if (size < 1 || size > STEP_MAX || in[i] < 0)
            return op_err(c, e, ERR_INVALID, "kernel of %lld on an input of %lld: expected 1 to %d", (long long)size,
                          (long long)in[i], STEP_MAX);
        f.kernel[d] = (size_t)size;
        f.in[d] = (size_t)in[i];
        f.stride[d] = s->stride_count ? (size_t)s->stride[i] : 1;
        f.dilation[d] = s->dilation_count ? (size_t)s->dilation[i] : 1;
        f.pad[d] = s->pad_count && s->mode == PAD_NOTSET ? (size_t)s->pad[i] : 0;
        f.pad_end[d] = s->pad_count && s->mode == PAD_NOTSET ? (size_t)s->pad[count + i] : 0;
    }
    *ret = f;
    return ERR_OK;
}

/* Output size of one dimension, and its pads when they are automatic; 0 = the kernel does not fit. */
static size_t out_of(spatial_fit *f, const spatial *s, uint32_t d)
{
    size_t span = (f->kernel[d] - 1) * f->dilation[d] + 1, in = f->in[d], step = f->stride[d];
    if (s->mode == PAD_SAME_UPPER || s->mode == PAD_SAME_LOWER) {
        size_t out = (in + step - 1) / step, need = out ? (out - 1) * step + span : 0,
               total = need > in ? need - in : 0;
        f->pad[d] = s->mode == PAD_SAME_UPPER ? total / 2 : total - total / 2;
        f->pad_end[d] = total - f->pad[d];
        return out;
    }
    size_t padded = in + f->pad[d] + f->pad_end[d];
    if (padded < span) return 0;
    size_t rest = padded - span, out = rest / step + 1;
    /* A window that would start in the padding after the input does not count. */
    if (s->ceil && rest % step != 0 && out * step < in + f->pad[d]) out++;
    return out;
}

err_code spatial_of(spatial_fit *ret, const spatial *s, const op_call *c, uint32_t count, const int64_t *in,
                    const int64_t *kernel, err *e)
{
    spatial_fit f;
    err_code rc = spatial_lists(&f, s, c, count, in, kernel, e);
    if (rc) return rc;
    for (uint32_t d = SPATIAL_MAX - count; d < SPATIAL_MAX; d++) {
        f.out[d] = out_of(&f, s, d);
        if (f.out[d] == 0)
            return op_err(c, e, ERR_INVALID,
                          "a kernel of %zu, dilation %zu, does not fit into %zu + %zu + %zu elements", f.kernel[d],
                          f.dilation[d], f.pad[d], f.in[d], f.pad_end[d]);
    }
    *ret = f;
    return ERR_OK;
}
