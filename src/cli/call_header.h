/* call_header.h - headers that a user wants sent with each request of a command.
 *
 * Refused is what would end the head early or say it twice: line breaks and other controls, and the headers that the
 * client itself sets, of which two make the server wait for a body that never comes, or refuse the request. */
#ifndef CLI_CALL_HEADER_H
#define CLI_CALL_HEADER_H
#include "base/err.h"
#include "wire/http_header.h"

enum { CALL_HEADER_BEARER_MAX = 512 };   /* "Bearer KEY", with its NUL */

/* "NAME: VALUE"; *ret is views into the text.  Texts of errors begin with "--header". */
err_code call_header_read(const char *text, http_header *ret, err *e) MUST_USE;
/* Authorization, made in `room`.  Texts of errors begin with "--api-key" and do not repeat it. */
err_code call_header_bearer(const char *key, char room[CALL_HEADER_BEARER_MAX], http_header *ret, err *e) MUST_USE;

#endif
