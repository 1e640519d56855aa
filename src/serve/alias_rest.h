/* alias_rest.h - names that stand for models: set, taken away and shown over REST, and shown over gRPC.
 *
 *   POST   /v2/repository/models/M[/versions/V]/aliases/NAME      NAME stands for M, or for that version of it
 *   DELETE /v2/repository/aliases/NAME
 *   POST   /v2/repository/models/M/versions/V/labels/LABEL        TensorFlow Serving's version_labels
 *   DELETE /v2/repository/models/M/labels/LABEL
 * A call is answered when it holds: whoever asks from then on is led to the new model, whoever asked before ends on the
 * old one.  What it leads to is loaded first where it is not.  Proa's own, as Triton has none. */
#ifndef SERVE_ALIAS_REST_H
#define SERVE_ALIAS_REST_H
#include "serve/v2_rest.h"

rest_answer alias_rest_set, alias_rest_drop;   /* these take long: later.h */

/* What the path asks for: its model, or that model's label in `text`. */
str alias_rest_asked(const route_args *args, char text[ALIASES_NAME_MAX]);
/* May it be shown to that key?  A label is its model's. */
bool alias_rest_sees(const api_key *who, str name);
/* The next entry of the index, of models and behind them of aliases, that this key may see; *at zero to begin with. */
typedef struct {
    size_t model, alias;
    const version_row *row;
} alias_rest_cursor;
bool alias_rest_entry(endpoints *s, const api_key *who, alias_rest_cursor *at, repository_entry *ret);
/* Does the name, or the request, mean one version, and not all that there are? */
bool alias_rest_one_version(endpoints *s, str name, str version);
/* As TensorFlow Serving answers of one version. */
void alias_rest_status(str version, buf *out);

#endif
