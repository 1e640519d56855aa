/* cors.h - which web pages of other origins may read REST's answers (the Fetch standard's CORS protocol).
 *
 * Off without origins.  With a list, an answer names the origin that asked, if it is in the list, and says that it
 * depends on it; with "*" every page may read.  Cookies and HTTP authentication of the browser (`credentials`) are for
 * listed origins only; a key that a page puts into Authorization or X-API-Key itself needs no such permission.
 * Preflights are answered here: with the methods of the path, the headers that were asked for (within
 * CORS_HEADERS_BYTES_MAX), and how long that holds.  An origin that is not in the list is told 403 by them; its other
 * requests are answered, and its browser keeps the answer from the page.
 * Read by all loops; changed by none. */
#ifndef SERVE_CORS_H
#define SERVE_CORS_H
#include "net/http.h"

enum {
    CORS_ORIGINS_MAX = 32,
    CORS_HEADERS_BYTES_MAX = 1024      /* of Access-Control-Request-Headers that are echoed */
};

typedef struct {
    str origins[CORS_ORIGINS_MAX];
    size_t count;
    bool any, credentials;
} cors;

/* "https://a.example, http://localhost:3000", "*" or "" (off); borrows the text. */
err_code cors_init(cors *c, str origins, bool credentials, err *e) MUST_USE;
/* What every answer to this request says about it, errors too. */
void cors_mark(const cors *c, http_call *call, const http_request *req);
bool cors_is_preflight(const cors *c, const http_request *req);
/* `methods` are those of the path: "GET, POST". */
void cors_preflight(const cors *c, http_call *call, const http_request *req, const char *methods);

#endif
