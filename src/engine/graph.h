/* graph.h - a model as data: values, nodes, attributes, subgraphs.
 *
 * A graph lives in its model's arena and dies with it.  Values are named by index, which never changes;
 * passes may add values and nodes, mark nodes dead, or rewire inputs, and leave the order of nodes
 * topological.  A value is either a constant (`init`), a graph input, or the output of one node.  A
 * subgraph (If, Loop, Scan, and functions that were not inlined) is a graph whose `parent` is where
 * names that it does not define are looked up: such outer values appear as VALUE_OUTER with the index in the parent. */
#ifndef ENGINE_GRAPH_H
#define ENGINE_GRAPH_H
#include "base/arena.h"
#include "tensor/activation.h"
#include "tensor/tensor.h"

typedef struct graph graph;
typedef struct op_row op_row;          /* engine/op.h */

typedef uint32_t value_id;
#define VALUE_NONE UINT32_MAX          /* an optional input or output that is not there */
enum { GRAPH_DEPTH_MAX = 8, GRAPH_NODES_MAX = 1 << 20, GRAPH_VALUES_MAX = 1 << 22, GRAPH_ATTRS_MAX = 256 };

typedef enum {
    ATTR_NONE,
    ATTR_FLOAT,
    ATTR_INT,
    ATTR_STRING,
    ATTR_TENSOR,
    ATTR_GRAPH,
    ATTR_FLOATS,
    ATTR_INTS,
    ATTR_STRINGS,
    ATTR_TENSORS,
    ATTR_GRAPHS,
    ATTR_TYPE
} attr_kind;

typedef struct {
    str name;
    attr_kind kind;
    uint32_t count;                    /* of the array kinds */
    union {
        float f;
        int64_t i;
        str s;
        const tensor *t;
        graph *g;
        const float *floats;
        const int64_t *ints;
        const str *strings;
        const tensor *tensors;
        graph **graphs;
    };
} attr;

typedef enum { VALUE_NODE, VALUE_INPUT, VALUE_CONST, VALUE_OUTER } value_source;

typedef struct {
    str name;                          /* "" for a value that a pass made */
    value_source from;
    dtype type;                        /* DT_NONE = not declared */
    bool ranked;                       /* declared.rank is known */
    shape declared;                    /* of inputs, outputs and value_info; -1 = symbolic or unknown */
    str dim_name[TENSOR_RANK_MAX];     /* dim_param of each -1 dim; "" = anonymous */
    const tensor *init;                /* VALUE_CONST: data is a view into the mapped file or lives in the arena */
    value_id outer;                    /* VALUE_OUTER: the value of `parent` */
    const attr *labels;                /* class labels for this output (a ZipMap that was taken off); else NULL */
    const char *other;                 /* "sequence", "map", ...: declared as something that is no tensor; else NULL */
} value;

typedef struct {
    str name, op, domain;              /* domain "" = ai.onnx */
    const op_row *row;
    const struct op_types *types;      /* what ONNX allows as inputs; NULL = not an operator of ONNX */
    int64_t opset;                     /* the version of `domain` that it was written for */
    uint32_t in_count, out_count, attr_count;
    value_id *in, *out;
    attr *attrs;
    activation act;                    /* applied to output 0 by rows with OP_FUSES_ACT */
    bool residual;                     /* the last input is added before `act` by rows with OP_FUSES_ADD */
    bool dead;
    const char *fused; /* what passes folded in, for `model inspect`: "BatchNormalization+Relu"; or NULL */
    void *state;                       /* made by row->prepare, lives in the model's arena */
} node;

struct graph {
    graph *parent;
    str name;
    value *values;
    node *nodes;                       /* topological order */
    uint32_t value_count, value_room, node_count, node_room;
    value_id *inputs, *outputs;        /* inputs: those without an initializer, in the model's order */
    uint32_t input_count, output_count;
    int64_t opset;                     /* of ai.onnx */
    int64_t opset_ml;                  /* of ai.onnx.ml; 0 = not imported */
    arena *memory;
    str pipeline;                      /* what the model's metadata says for models/pipeline.h; p NULL = nothing */
};

const attr *node_attr(const node *n, const char *name);                       /* NULL = absent */
int64_t node_int(const node *n, const char *name, int64_t absent);
float node_float(const node *n, const char *name, float absent);
str node_str(const node *n, const char *name, str absent);
/* The ints attribute, or count 0. */
const int64_t *node_ints(const node *n, const char *name, uint32_t *ret_count);
/* A new value / a new node at the end; ERR_NOMEM or ERR_LIMIT.  Moves the array: pointers into it are stale. */
err_code graph_value_add(graph *g, value_id *ret, err *e) MUST_USE;
err_code graph_node_add(graph *g, node **ret, err *e) MUST_USE;
/* The subgraph number `i` among the node's attributes, NULL = there are fewer. */
graph *node_graph(const node *n, uint32_t i);
/* What a node reads: its inputs, then the values of this graph that its subgraphs name.  i counts both;
 * false = no more.  *ret may be VALUE_NONE (an optional input left out). */
bool node_reads(const node *n, uint32_t *at, value_id *ret);
/* Puts the nodes into an order where each comes after those it reads from, the given order where it may stay.
 * ERR_INVALID: a cycle, or a value that no node computes; dead nodes are dropped. */
err_code graph_sort(graph *g, err *e) MUST_USE;
/* "node 'conv1' (Conv, ai.onnx 13)" for messages. */
const char *node_text(const graph *g, const node *n, char text[200]);

#endif
