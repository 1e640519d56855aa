#include "serve/model_config.h"

#include "wire/json_text.h"
#include "wire/pb.h"

#define PLATFORM "onnxruntime_onnx"   /* what clients know such a model by */
#define BACKEND "onnxruntime"
#define FILE_NAME "model.onnx"

/* Triton's enum DataType. */
static const struct {
    int64_t number;
    const char *name;
} types[DT_COUNT] = {
    [DT_BOOL] = {1, "BOOL"}, [DT_U8] = {2, "UINT8"},  [DT_U16] = {3, "UINT16"},   [DT_U32] = {4, "UINT32"},
    [DT_U64] = {5, "UINT64"}, [DT_I8] = {6, "INT8"},  [DT_I16] = {7, "INT16"},    [DT_I32] = {8, "INT32"},
    [DT_I64] = {9, "INT64"}, [DT_F16] = {10, "FP16"}, [DT_F32] = {11, "FP32"},    [DT_F64] = {12, "FP64"},
    [DT_STRING] = {13, "STRING"}, [DT_BF16] = {14, "BF16"},
};

static void head_print(buf *out, const model_io *io, bool more)
{
    const char *type = types[io->type].name;
    buf_put_z(out, more ? ",{\"name\":" : "{\"name\":");
    json_text_put(out, io->name);
    buf_printf(out, ",\"data_type\":\"TYPE_%s\"", type ? type : "INVALID");
}

static void dims_print(buf *out, const shape *s)
{
    buf_put_z(out, ",\"dims\":[");
    for (uint32_t d = 0; d < s->rank; d++) buf_printf(out, d ? ",%lld" : "%lld", (long long)s->dim[d]);
    buf_put_byte(out, ']');
}

void model_config_print(buf *out, const served *m)
{
    buf_put_z(out, "{\"name\":");
    json_text_put(out, m->name);
    buf_put_z(out, ",\"platform\":\"" PLATFORM "\",\"backend\":\"" BACKEND
                   "\",\"runtime\":\"\",\"version_policy\":{\"latest\":{\"num_versions\":1}},\"max_batch_size\":0,"
                   "\"input\":[");
    for (uint32_t i = 0; i < model_input_count(m->model); i++) {
        const model_io *io = model_input(m->model, i);
        head_print(out, io, i > 0);
        buf_put_z(out, ",\"format\":\"FORMAT_NONE\"");
        dims_print(out, &io->shape);
        buf_put_z(out, ",\"is_shape_tensor\":false,\"allow_ragged_batch\":false,\"optional\":false,"
                       "\"is_non_linear_format_io\":false}");
    }
    buf_put_z(out, "],\"output\":[");
    for (uint32_t i = 0; i < model_output_count(m->model); i++) {
        const model_io *io = model_output(m->model, i);
        head_print(out, io, i > 0);
        dims_print(out, &io->shape);
        buf_put_z(out, ",\"label_filename\":\"\",\"is_shape_tensor\":false,\"is_non_linear_format_io\":false}");
    }
    buf_put_z(out, "],\"batch_input\":[],\"batch_output\":[],\"optimization\":{\"priority\":\"PRIORITY_DEFAULT\","
                   "\"input_pinned_memory\":{\"enable\":true},\"output_pinned_memory\":{\"enable\":true},"
                   "\"gather_kernel_buffer_threshold\":0,\"eager_batching\":false},\"instance_group\":[{\"name\":");
    size_t at = out->len;
    json_text_put(out, m->name);
    if (out->len > at) out->len--;   /* inside the quotes */
    buf_put_z(out, "_0\",\"kind\":\"KIND_CPU\",\"count\":1,\"gpus\":[],\"secondary_devices\":[],\"profile\":[],"
                   "\"passive\":false,\"host_policy\":\"\"}],\"default_model_filename\":\"" FILE_NAME "\","
                   "\"cc_model_filenames\":{},\"metric_tags\":{},\"parameters\":{},\"model_warmup\":[]}");
}

static void io_put(buf *out, uint32_t number, uint32_t dims_number, const model_io *io)
{
    size_t opened = pb_open(out, number);
    pb_put_str(out, 1, io->name);
    pb_put_i64(out, 2, types[io->type].number);
    pb_put_packed_i64(out, dims_number, io->shape.dim, io->shape.rank);
    pb_close(out, opened);
}

void model_config_put(buf *out, const served *m)
{
    pb_put_str(out, 1, m->name);
    pb_put_str(out, 2, STR(PLATFORM));
    size_t policy = pb_open(out, 3), latest = pb_open(out, 1);
    pb_put_u64(out, 1, 1);
    pb_close(out, latest);
    pb_close(out, policy);
    for (uint32_t i = 0; i < model_input_count(m->model); i++) io_put(out, 5, 4, model_input(m->model, i));
    for (uint32_t i = 0; i < model_output_count(m->model); i++) io_put(out, 6, 3, model_output(m->model, i));
    pb_put_str(out, 8, STR(FILE_NAME));
    pb_put_str(out, 17, STR(BACKEND));
}
