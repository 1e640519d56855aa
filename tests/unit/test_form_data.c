/* The one file of a form is found whatever else is in it and whatever bytes it has; what is no form, or has no single
 * file, is refused. */
#include "test.h"
#include "wire/form_data.h"

/* The file, or the error; each | of the text is the end of a line. */
static const char *reads(const char *text)
{
    static char body[2000], got[500];
    size_t len = 0;
    str file;
    err e;
    for (; *text; text++) {
        if (*text == '|') body[len++] = '\r';
        body[len++] = *text == '|' ? '\n' : *text;
    }
    if (form_data_file((str){body, len}, &file, &e)) snprintf(got, sizeof got, "%s", e.text);
    else snprintf(got, sizeof got, "[%.*s]", (int)file.len, file.p);
    return got;
}

#define NAMED "Content-Disposition: form-data; name=\"n\"||"
#define FILED "Content-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"|Content-Type: image/jpeg||"

static void the_file_is_found_among_fields(void)
{
    CHECK_STR(reads("--b|" FILED "data|--b--|"), "[data]");
    CHECK_STR(reads("--b|" NAMED "7|--b|" FILED "da|ta|--b|" NAMED "8|--b--"), "[da\r\nta]");
    CHECK_STR(reads("--b|content-disposition: form-data;filename=x||data|--b--"), "[data]");
    CHECK_STR(reads("--b|" FILED "|--b--"), "[]");
}

static void a_single_field_needs_no_name_of_a_file(void)
{
    CHECK_STR(reads("--b|" NAMED "some text|--b--"), "[some text]");
}

static void a_line_that_is_nearly_the_boundary_is_data(void)
{
    CHECK_STR(reads("--bb|" FILED " --bb|--b|x|--bb--"), "[ --bb\r\n--b\r\nx]");
}

static void what_is_no_form_is_refused(void)
{
    static const char begin[] = "multipart/form-data: expected a body that begins with its boundary";
    static const char end[] = "multipart/form-data: expected a body that ends with its boundary, got one cut off";
    CHECK_STR(reads(""), begin);
    CHECK_STR(reads("{}"), begin);
    CHECK_STR(reads("--|x|--"), begin);
    CHECK_STR(reads("-b|x|-b"), begin);
    CHECK_STR(reads("--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb|" FILED "x"), begin);
    CHECK_STR(reads("--b|" FILED "data"), end);
    CHECK_STR(reads("--b|" FILED "data|--b"), end);
    CHECK_STR(reads("--b|no empty line|--b--"), "multipart/form-data: expected headers and an empty line in each part");
    CHECK_STR(reads("--b|" FILED "1|--b|" FILED "2|--b--"), "multipart/form-data: expected one file, got 2");
    CHECK_STR(reads("--b|" NAMED "1|--b|" NAMED "2|--b--"), "multipart/form-data: expected one file, got 0");
}

static void parts_are_bounded(void)
{
    static char text[8000];
    size_t len = 0;
    for (int i = 0; i <= FORM_DATA_PARTS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "--b\r\n\r\n\r\n1\r\n");
    str file;
    err e;
    CHECK(form_data_file((str){text, len}, &file, &e) == ERR_TOO_LARGE);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(the_file_is_found_among_fields),
        TEST(a_single_field_needs_no_name_of_a_file),
        TEST(a_line_that_is_nearly_the_boundary_is_data),
        TEST(what_is_no_form_is_refused),
        TEST(parts_are_bounded),
    };
    return test_main(cases, COUNTOF(cases));
}
