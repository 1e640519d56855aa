/* debug_page.h - GET /debug/models: a page for people, which shows live what the metrics say of each model.
 *
 * HTML, style and script in one answer, nothing from elsewhere: the script asks /debug/models.json and the repository
 * index every two seconds and draws. What it shows is set as text, never as markup. A Content-Security-Policy with a
 * number made at random for each answer lets this style and this script run, and nothing else. */
#ifndef SERVE_DEBUG_PAGE_H
#define SERVE_DEBUG_PAGE_H
#include "net/http.h"

void debug_page_reply(http_call *call);

#endif
