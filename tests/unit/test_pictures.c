/* Pictures in a request become the model's input, whichever protocol and form brings them, and its outputs the answer
 * that is declared; a request with the model's own tensor is left as it is; what is no picture, or too much of them, is
 * refused in one line, and nothing of it on a loop. */
#include "serve/pictures.h"
#include "models/pipeline.h"
#include "picture_seed.h"
#include "serve/plain.h"
#include "serve/v1.h"
#include "serve/v2.h"
#include "serve_rig.h"
#include "test.h"

static char request[1 << 17];

static const char *ask(serve_rig *r, const infer_protocol *p, const char *format, const char *a, const char *b)
{
    const char *put[] = {a, b};
    size_t len = 0, at = 0;
    for (; *format; format++)   /* each @ is the next of them */
        len += (size_t)snprintf(request + len, sizeof request - len, "%.*s", *format == '@' ? 1 << 20 : 1,
                                *format == '@' ? put[at++] : format);
    return serve_rig_ask(r, p, str_of(request), (str){0});
}

/* x FP32 [first,3,2,2], or what `first` says where it says all -> y [first,3], the sums of its planes, which the answer
 * ranks. */
static void start(serve_rig *r, const char *first, const char *declared, uint64_t pixels_max)
{
    onnx_build b;
    char dims[60];
    err e = {.text = ""};
    onnx_build_start(&b, 13);
    snprintf(dims, sizeof dims, strchr(first, ',') ? "%s" : "%s,3,2,2", first);
    onnx_build_input(&b, "x", DT_F32, dims);
    onnx_build_ints(&b, "axes", "2", (const int64_t[]){2, 3});
    onnx_build_node(&b, "ReduceSum", "x,axes", "y", "keepdims=0");
    snprintf(dims, sizeof dims, "%.*s,3", (int)strcspn(first, ","), first);
    onnx_build_output(&b, "y", DT_F32, dims);
    serve_rig_start(r, &b);
    pipeline_from from = {.path = "m", .file = "m", .ios = &r->served.ios, .pixels_max = pixels_max};
    if (pipeline_parse(&r->served.pipeline, str_of(declared), "p.yaml", NULL, &from, &e)) printf("# %s\n", e.text);
    INVARIANT(r->served.pipeline);
}

static void stop(serve_rig *r)
{
    pipeline_free(r->served.pipeline);
    serve_rig_stop(r);
}

#define LABELLED "inputs: {x: {image: {do_rescale: false}}}\nanswer: {classes: {top: 1, labels: [red, green, blue]}}"
#define BARE "inputs: {x: {image: {do_rescale: false}}}"

/* What prepare.h makes of a seed, summed as the model does it. */
static void sums_of(serve_rig *r, const char *seed, float ret[3])
{
    arena a;
    err e;
    prepare_picture v;
    float row[12];
    const prepare *p = r->served.pipeline->inputs[0].image;
    arena_init(&a, NULL, 0, 1 << 22);
    CHECK(prepare_read(p, picture_seed(seed), &a, &v, &e) == ERR_OK);
    CHECK(prepare_bytes(p, &v) == sizeof row);
    prepare_put(p, &v, row);
    for (size_t c = 0; c < 3; c++) ret[c] = row[4 * c] + row[4 * c + 1] + row[4 * c + 2] + row[4 * c + 3];
    arena_fini(&a);
}

/* "[s,s,s]" of each seed. */
static const char *rows_of(serve_rig *r, const char *one, const char *two)
{
    static char text[200];
    float a[3], b[3];
    sums_of(r, one, a);
    sums_of(r, two, b);
    snprintf(text, sizeof text, "200 {\"predictions\":[[%.1f,%.1f,%.1f],[%.1f,%.1f,%.1f]]}", (double)a[0], (double)a[1],
             (double)a[2], (double)b[0], (double)b[1], (double)b[2]);
    return text;
}

static void each_form_of_v1_brings_the_same_pixels(void)
{
    static const char *const forms[] = {
        "{\"instances\":[{\"image\":{\"b64\":\"@\"}},{\"x\":{\"b64\":\"@\"}}]}",
        "{\"instances\":[{\"b64\":\"@\"},{\"b64\":\"@\"}]}",
        "{\"instances\":[{\"image\":\"@\"},{\"image\":\"@\"}]}",
        "{\"instances\": [ \"@\",\"data:image/png;base64,@\"]}",
        "{\"instances\":[[{\"b64\":\"@\"}],[{\"b64\":\"@\"}]]}", "{\"instances\":[[\"@\"],[\"@\"]]}",
        "{\"inputs\":[{\"b64\":\"@\"},{\"b64\":\"@\"}]}"};
    serve_rig r;
    start(&r, "N", BARE, 0);
    const char *jpeg = picture_base64(picture_seed("jpeg-444")), *png = picture_base64(picture_seed("png-2-8"));
    for (size_t i = 0; i < COUNTOF(forms); i++)
        CHECK_STR(ask(&r, &v1_protocol, forms[i], jpeg, png), rows_of(&r, "jpeg-444", "png-2-8"));
    ask(&r, &v1_protocol, "{\"inputs\":{\"image\":[{\"b64\":\"@\"},{\"b64\":\"@\"}]}}", jpeg, png);
    CHECK(strncmp(r.text, "200 {\"outputs\":[[", 17) == 0);
    ask(&r, &v1_protocol, "{\"inputs\":{\"x\":{\"b64\":\"@\"}}}", png, "");
    CHECK(strncmp(r.text, "200 {\"outputs\":[[", 17) == 0);
    ask(&r, &v1_protocol, "{\"inputs\":{\"b64\":\"@\"}}", png, "");
    CHECK(strncmp(r.text, "200 {\"outputs\":[[", 17) == 0);
    stop(&r);
}

static void labels_come_back_for_pictures_and_tensors_as_they_are(void)
{
    serve_rig r;
    start(&r, "N", LABELLED, 0);
    const char *png = picture_base64(picture_seed("png-2-8"));
    float s[3];
    char want[100];
    sums_of(&r, "png-2-8", s);
    size_t best = s[0] >= s[1] && s[0] >= s[2] ? 0 : s[1] >= s[2] ? 1 : 2;
    snprintf(want, sizeof want, "200 {\"predictions\":[[{\"label\":\"%s\",\"index\":%zu,\"score\":%.1f}]]}",
             best == 0 ? "red" : best == 1 ? "green" : "blue", best, (double)s[best]);
    CHECK_STR(ask(&r, &v1_protocol, "{\"instances\":[{\"b64\":\"@\"}]}", png, ""), want);
    CHECK_STR(ask(&r, &v1_protocol, "{\"instances\":[[[[1,2],[3,4]],[[0,0],[0,0]],[[1,1],[1,1]]]]}", "", ""),
              "200 {\"predictions\":[[10.0,0.0,4.0]]}");
    CHECK_STR(ask(&r, &v1_protocol, "{\"instances\":[{\"x\":[[[1,2],[3,4]],[[0,0],[0,0]],[[1,1],[1,1]]]}]}", "", ""),
              "200 {\"predictions\":[[10.0,0.0,4.0]]}");
    stop(&r);
}

#define V2_HEAD "200 {\"model_name\":\"m\",\"model_version\":\"1\",\"outputs\":["
#define V2_TENSOR \
    "\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,3,2,2],\"data\":[1,2,3,4,0,0,0,0,1,1,1,1]}]"

static void v2_has_the_answer_as_outputs(void)
{
    serve_rig r;
    start(&r, "N", "inputs: {x: {image: {}}}\nanswer: {classes: {top: 2, labels: [red, green, blue]}, prefix: best_}",
        0);
    str file = picture_seed("png-2-8");
    ask(&r, &v2_protocol, "{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1,1],\"data\":[\"@\"]}]}",
        picture_base64(file), "");
    CHECK(strstr(r.text, V2_HEAD "{\"name\":\"best_label\",\"datatype\":\"BYTES\",\"shape\":[1,2],\"data\":["));
    CHECK(strstr(r.text, "{\"name\":\"best_index\",\"datatype\":\"INT64\",\"shape\":[1,2],\"data\":["));
    CHECK(strstr(r.text, "{\"name\":\"best_score\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":["));
    CHECK(!strstr(r.text, "\"y\""));
    char from_json[sizeof r.text], raw[1 << 14];
    snprintf(from_json, sizeof from_json, "%s", r.text);
    memcpy(raw, &(uint32_t){(uint32_t)file.len}, 4);
    memcpy(raw + 4, file.p, file.len);
    snprintf(request, sizeof request, "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"BYTES\",\"shape\":[1],"
        "\"parameters\":"
             "{\"binary_data_size\":%zu}}]}", file.len + 4);
    CHECK_STR(serve_rig_ask(&r, &v2_protocol, str_of(request), (str){raw, file.len + 4}), from_json);
    CHECK_STR(ask(&r, &v2_protocol, "{" V2_TENSOR "}", "", ""),
              V2_HEAD "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1,3],\"data\":[10.0,0.0,4.0]}]}");
    CHECK_STR(ask(&r, &v2_protocol, "{" V2_TENSOR ",\"outputs\":[{\"name\":\"best_label\"},{\"name\":\"y\"}]}", "", ""),
              V2_HEAD "{\"name\":\"best_label\",\"datatype\":\"BYTES\",\"shape\":[1,2],\"data\":[\"red\",\"blue\"]},"
              "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1,3],\"data\":[10.0,0.0,4.0]}]}");
    stop(&r);
}

static void a_body_may_be_the_picture_itself(void)
{
    serve_rig r;
    start(&r, "N", LABELLED, 0);
    str file = picture_seed("jpeg-420");
    const char *v1 = "200 {\"predictions\":[[{\"label\":\"";
    CHECK(strncmp(serve_rig_ask(&r, &v1_protocol, file, (str){0}), v1, strlen(v1)) == 0);
    CHECK(strncmp(serve_rig_ask(&r, &v2_protocol, file, (str){0}), V2_HEAD, strlen(V2_HEAD)) == 0);
    CHECK_STR(serve_rig_ask(&r, &v1_protocol, STR("GIF89a"), (str){0}), "400 image 0: expected JPEG or PNG, got GIF");
    CHECK_STR(serve_rig_ask(&r, &v1_protocol, STR("xyz"), (str){0}),
              "400 JSON: byte 0: unexpected character, expected a valid root value");
    r.plain = PLAIN_IMAGE;
    CHECK_STR(serve_rig_ask(&r, &v1_protocol, STR("GIF89a"), (str){0}), "400 image 0: expected JPEG or PNG, got GIF");
    r.plain = PLAIN_FORM;
    int n = snprintf(request, sizeof request, "--b\r\nContent-Disposition: form-data; name=\"f\"; "
        "filename=\"a.jpg\"\r\n\r\n");
    memcpy(request + n, file.p, file.len);
    size_t len = (size_t)n + file.len;
    len += (size_t)snprintf(request + len, sizeof request - len, "\r\n--b--\r\n");
    CHECK(strncmp(serve_rig_ask(&r, &v1_protocol, (str){request, len}, (str){0}), v1, strlen(v1)) == 0);
    pipeline_free(r.served.pipeline);
    r.served.pipeline = NULL;
    r.plain = PLAIN_NONE;
    CHECK_STR(serve_rig_ask(&r, &v1_protocol, file, (str){0}),
              "400 request: expected JSON, got a picture: model 'm' declares no input that takes one");
    stop(&r);
}

static void a_body_may_be_the_text_of_a_model_of_strings(void)
{
    serve_rig r;
    onnx_build b;
    static const char *const dims[] = {"N", "N,1", "1", ""}, *const want[] = {"[\"a {b}\"]", "[[\"a {b}\"]]",
        "[\"a {b}\"]",
                                                                              "\"a {b}\""};
    for (size_t i = 0; i < COUNTOF(dims); i++) {
        char text[100];
        serve_rig_same(&b, DT_STRING, dims[i]);
        serve_rig_start(&r, &b);
        r.plain = PLAIN_TEXT;
        snprintf(text, sizeof text, "200 {\"predictions\":%s}", want[i]);
        CHECK_STR(serve_rig_ask(&r, &v1_protocol, STR("a {b}"), (str){0}), text);
        CHECK_STR(serve_rig_ask(&r, &v1_protocol, STR("\xff"), (str){0}), "400 request: expected text in UTF-8");
        serve_rig_stop(&r);
    }
    serve_rig_twice(&b);   /* numbers: text/plain is JSON, as ever */
    serve_rig_start(&r, &b);
    r.plain = PLAIN_TEXT;
    CHECK_STR(serve_rig_ask(&r, &v1_protocol, STR("{\"instances\":[[1,2]]}"), (str){0}),
        "200 {\"predictions\":[[2.0,4.0]]}");
    serve_rig_stop(&r);
}

static void content_types_are_told_apart(void)
{
    CHECK(plain_kind_of(STR("image/jpeg")) == PLAIN_IMAGE && plain_kind_of(STR("IMAGE/png; q=1")) == PLAIN_IMAGE);
    CHECK(plain_kind_of(STR("text/plain; "
        "charset=utf-8")) == PLAIN_TEXT && plain_kind_of(STR("Text/Plain")) == PLAIN_TEXT);
    CHECK(plain_kind_of(STR("multipart/form-data; boundary=x")) == PLAIN_FORM);
    CHECK(plain_kind_of(STR("application/json")) == PLAIN_NONE && plain_kind_of(STR("")) == PLAIN_NONE);
    CHECK(plain_kind_of(STR("image/")) == PLAIN_NONE && plain_kind_of(STR("text/html")) == PLAIN_NONE);
}

static void what_is_wrong_is_said_in_one_line(void)
{
    static const struct { const char *json, *want; } rows[] = {
        {"{\"instances\":[{\"b64\":\"\"}]}", "400 image 0: expected JPEG or PNG, got nothing"},
        {"{\"instances\":[{\"b64\":\"R0lGODlh\"}]}", "400 image 0: expected JPEG or PNG, got GIF"},
        {"{\"instances\":[{\"b64\":\"!\"}]}", "400 image 0: expected JPEG or PNG, got other bytes"},
        {"{\"instances\":[{\"b64\":\"/9j/!\"}]}", "400 image 0: expected base64, got something else at byte 4 of 5"},
        {"{\"instances\":[{\"b64\":\"/9j/\"}]}", "400 image 0: JPEG: the file is cut off"},
        {"{\"instances\":[{\"b64\":\"\"},7]}", "400 instances[1]: instance: expected an object, got 7"},
        {"{\"instances\":[{\"b64\":\"\"},{\"x\":1}]}", "400 instances[1]: expected {\"b64\": \"...\"}, as before"},
        {"{\"instances\":[{\"b64\":7}]}", "400 instances[0]: expected only inputs of the model, got 'b64'"},
        {"{\"inputs\":{\"image\":[]}}", "400 input 'x': shape: expected [-1,3,2,2], got '[0]'"},
        {"{\"instances\":[[\"a\",\"b\"]]}", "400 input 'x': shape: expected [N] of images, got '[1,2]'"},
        {"{\"instances\":[[{\"b64\":\"R0lGODlh\"}]]}", "400 image 0: expected JPEG or PNG, got GIF"},
        {"{\"instances\":[[{\"b64\":\"!\"}]]}", "400 input 'x': data: [0][0]: b64: expected base64, got other "
            "characters or an end in between"}};
    serve_rig r;
    start(&r, "N", BARE, 0);
    for (size_t i = 0; i < COUNTOF(rows); i++)
        CHECK_STR(serve_rig_ask(&r, &v1_protocol, str_of(rows[i].json), (str){0}), rows[i].want);
    CHECK_STR(ask(&r, &v2_protocol, "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"BYTES\",\"shape\":[1,2],"
        "\"data\":[\"\",\"\"]}]}", "", ""),
              "400 input 'x': shape: expected [N] of images, got '[1,2]'");
    CHECK_STR(ask(&r, &v2_protocol, "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"BYTES\",\"shape\":[0],"
        "\"data\":[]}]}", "", ""),
              "400 input 'x': expected images, got 0");
    stop(&r);
}

static void no_more_images_and_pixels_than_may_be(void)
{
    serve_rig r;
    const char *jpeg = picture_base64(picture_seed("jpeg-444"));   /* 945 pixels */
    start(&r, "1", BARE, 945);
    CHECK(strncmp(ask(&r, &v1_protocol, "{\"instances\":[\"@\"]}", jpeg, ""), "200", 3) == 0);
    CHECK_STR(ask(&r, &v1_protocol, "{\"instances\":[\"@\",\"@\"]}", jpeg, jpeg),
              "400 input 'x': expected a batch of 1, as the model takes, got 2 images");
    stop(&r);
    start(&r, "N", BARE, 945);
    char five[1 << 16] = "{\"instances\":[";
    for (size_t i = 0; i < 5; i++) {
        size_t len = strlen(five);
        snprintf(five + len, sizeof five - len, "%s\"%s\"%s", i ? "," : "", jpeg, i == 4 ? "]}" : "");
    }
    CHECK_STR(serve_rig_ask(&r, &v1_protocol, str_of(five), (str){0}),
              "400 image 4: expected at most 3780 pixels in all images of a request, got more");
    stop(&r);
    start(&r, "N", BARE, 944);
    CHECK_STR(ask(&r, &v1_protocol, "{\"instances\":[\"@\"]}", jpeg, ""),
              "400 image 0: expected at most 944 pixels and sides of at most 65500, got 35x27");
    stop(&r);
}

static metric_pictures why(serve_rig *r, str body)
{
    err e = {0};
    err_code rc = serve_rig_read(r, &v1_protocol, body, (str){0}, &e);
    uint8_t noted = r->request.picture_refused;
    serve_rig_forget(r);
    return rc && noted ? (metric_pictures)(noted - 1) : METRIC_PICTURES;
}

static void why_one_is_refused_is_noted_for_the_metrics(void)
{
    serve_rig r;
    str jpeg = picture_seed("jpeg-444"), png = picture_seed("png-2-8");
    start(&r, "N", BARE, 945);
    CHECK_U64(why(&r, jpeg), METRIC_PICTURES);
    CHECK_U64(why(&r, (str){jpeg.p, jpeg.len / 2}), METRIC_PICTURES_BROKEN);
    CHECK_U64(why(&r, (str){png.p, 60}), METRIC_PICTURES_BROKEN);
    CHECK_U64(why(&r, STR("{\"instances\":[{\"b64\":\"/9j/!\"}]}")), METRIC_PICTURES_BROKEN);
    CHECK_U64(why(&r, STR("{\"instances\":[{\"b64\":\"R0lGODlh\"}]}")), METRIC_PICTURES_KIND);
    CHECK_U64(why(&r, STR("{\"instances\":[[1]]}")), METRIC_PICTURES);
    r.opts.memory_bytes_max = 4096;
    CHECK_U64(why(&r, jpeg), METRIC_PICTURES_BYTES);
    stop(&r);
    start(&r, "N", BARE, 944);
    CHECK_U64(why(&r, jpeg), METRIC_PICTURES_PIXELS);
    stop(&r);
}

static void images_of_a_request_are_equally_large_when_prepared(void)
{
    serve_rig r;
    const char *jpeg = picture_base64(picture_seed("jpeg-444")), *png = picture_base64(picture_seed("png-2-8"));
    start(&r, "N,3,H,W", "inputs: {x: {image: {do_rescale: false, size: {longest_edge: 8}}}}", 0);
    CHECK(strncmp(ask(&r, &v1_protocol, "{\"instances\":[\"@\",\"@\"]}", jpeg, jpeg), "200", 3) == 0);
    CHECK_STR(ask(&r, &v1_protocol, "{\"instances\":[\"@\",\"@\"]}", jpeg, png),
              "400 image 1: expected 8x6 pixels when prepared, as image 0, got 8x7");
    stop(&r);
    start(&r, "N,3,H,W", "inputs: {x: {image: {do_rescale: false, size: 1500}}}", 0);   /* 27 MB of 400 bytes */
    CHECK(strncmp(ask(&r, &v1_protocol, "{\"instances\":[\"@\"]}", png, ""), "200", 3) == 0);
    stop(&r);
}

static void nothing_is_decoded_on_a_loop(void)
{
    serve_rig r;
    err e = {0};
    start(&r, "N", BARE, 0);
    str file = picture_seed("jpeg-444");
    infer_body(&r.request, &r.opts, file, file.len);
    r.request.on_loop = true;
    CHECK(v1_protocol.read(&r.request, &e) != ERR_OK && r.request.again);
    r.request.on_loop = r.request.again = false;
    CHECK(v1_protocol.read(&r.request, &e) == ERR_OK && r.request.inputs[0].type == DT_F32);
    atomic_store(&r.request.item.cancelled, true);
    CHECK(v1_protocol.read(&r.request, &e) == ERR_CANCELLED);
    atomic_store(&r.request.item.cancelled, false);
    r.request.deadline_us = 1;
    CHECK(v1_protocol.read(&r.request, &e) == ERR_TIMEOUT);
    stop(&r);
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    serve_rig r;
    start(&r, "N", LABELLED, 0);
    str file = picture_seed("png-2-8");
    FAULT_SWEEP({
        err e = {0};
        err_code rc = serve_rig_read(&r, &v1_protocol, file, (str){0}, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        serve_rig_forget(&r);
    })
    stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_form_of_v1_brings_the_same_pixels),
        TEST(labels_come_back_for_pictures_and_tensors_as_they_are),
        TEST(v2_has_the_answer_as_outputs),
        TEST(a_body_may_be_the_picture_itself),
        TEST(a_body_may_be_the_text_of_a_model_of_strings),
        TEST(content_types_are_told_apart),
        TEST(what_is_wrong_is_said_in_one_line),
        TEST(no_more_images_and_pixels_than_may_be),
        TEST(why_one_is_refused_is_noted_for_the_metrics),
        TEST(images_of_a_request_are_equally_large_when_prepared),
        TEST(nothing_is_decoded_on_a_loop),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
