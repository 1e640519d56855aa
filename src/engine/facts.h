/* facts.h - what is sure about a value's type and shape before any request.
 *
 * Symbolic dimensions have no numbers, so the graph is planned twice with made-up ones (each symbol its own, all
 * different between the two): what comes out the same both times holds for every request, as far as shapes are
 * computed from shapes.  A symbol that is declared for two dimensions is what the model says of them, not what a
 * request obeys: it may have 1 for one of them, to be broadcast, as ONNX Runtime lets it.  So there is a third plan in
 * which every dimension has its own size, and shapes that differ there may differ.  Where nothing could be inferred
 * nothing is claimed.  Values keep their meaning when passes
 * rewire the graph, so facts stay true; values that were added later are unknown. */
#ifndef ENGINE_FACTS_H
#define ENGINE_FACTS_H
#include "engine/graph.h"
#include "tensor/kernel.h"

typedef struct {
    uint32_t count;              /* values when the facts were found */
    tensor *one, *two;           /* [count] type DT_NONE = unknown */
    tensor *apart;               /* [count] with a size for every dimension; NULL = no symbol is there twice */
} facts;

/* `around`: of the graph around a subgraph, extended to all its values, else NULL.  Fails for want of memory only. */
err_code facts_find(facts *ret, const graph *g, const facts *around, const kernel_set *k, arena *a, err *e) MUST_USE;
/* ret[value_count]: what every value of a main graph is where `size` stands for each open dimension of the inputs; type
 * DT_NONE = unknown, as where that cannot be planned.  Fails for want of memory only. */
err_code facts_trial(tensor *ret, const graph *g, int64_t size, const kernel_set *k, arena *a, err *e) MUST_USE;
/* Values that were added since are unknown, and counted. */
err_code facts_extend(facts *f, const graph *g, arena *a, err *e) MUST_USE;
dtype facts_type(const facts *f, value_id v);                        /* DT_NONE = unknown */
bool facts_rank(const facts *f, value_id v, uint32_t *ret);          /* false = unknown */
bool facts_shape(const facts *f, value_id v, shape *ret);            /* -1 where it differs; false = unknown */
bool facts_same_shape(const facts *f, value_id a, value_id b);       /* false = may differ */

#endif
