/* The C ABI of a loss plugin, version 1.0.
 *
 * A plugin is a shared library, libtoolkit_loss_<id>.so (with _ for the - of the id), that exports one
 * data symbol, `toolkit_loss_plugin`. It computes, for each example, a loss and its derivative from the
 * log-odds of the true class and the class id:
 *
 *     softmax head: m = z_y - logsumexp over j != y of z_j      sigmoid head: m = x, or -x for a negative
 *     p = 1/(1+exp(-m))      log p = -log1p(exp(-m))      log(1-p) = -log1p(exp(m))
 *
 * The toolkit makes the gradient of the logits from the derivative. Both results must be finite for
 * every finite m. Strings are UTF-8 and live as long as the library. Nothing may be thrown across these
 * functions. Usable from C11 and C++17 on; examples/plugins/ has whole plugins.
 */
#ifndef TOOLKIT_LOSS_H
#define TOOLKIT_LOSS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TOOLKIT_LOSS_MAGIC UINT64_C(0x544B4C4F5353A51E)
#define TOOLKIT_LOSS_ABI_MAJOR 1
#define TOOLKIT_LOSS_ABI_MINOR 0

/* What an entry point returns on success; anything else is a failure, so that one that does nothing fails. */
#define TOOLKIT_LOSS_OK 0x600D

/* The head a loss is made for. */
#define TOOLKIT_HEAD_SOFTMAX 0u
#define TOOLKIT_HEAD_SIGMOID 1u

/* Kinds of parameters; all arrive as doubles: the number, 0 or 1, the index of the choice. */
#define TOOLKIT_PARAM_NUMBER 0u
#define TOOLKIT_PARAM_FLAG 1u
#define TOOLKIT_PARAM_CHOICE 2u

/* Bits of `bounds`. */
#define TOOLKIT_MINIMUM_INCLUSIVE 1u
#define TOOLKIT_MAXIMUM_INCLUSIVE 2u

typedef struct toolkit_loss_param {
    const char *name;       /* a-z, 0-9 and -; becomes a command-line flag */
    const char *help;       /* one line */
    const char *choices;    /* TOOLKIT_PARAM_CHOICE: the words joined by |; else NULL */
    uint32_t kind;
    uint32_t bounds;
    double default_value;   /* for a softmax head */
    double default_sigmoid; /* for a sigmoid head */
    double minimum;         /* -INFINITY for none */
    double maximum;         /* INFINITY for none */
} toolkit_loss_param;

/* The caller's buffer for a message on failure: NUL-terminated UTF-8 of at most `size` bytes. */
typedef struct toolkit_loss_message {
    char *data;
    size_t size;
} toolkit_loss_message;

typedef struct toolkit_loss_plugin_t {
    /* These five never change place; a host reads them first. */
    uint64_t magic;        /* TOOLKIT_LOSS_MAGIC */
    uint16_t abi_major;    /* TOOLKIT_LOSS_ABI_MAJOR */
    uint16_t abi_minor;    /* TOOLKIT_LOSS_ABI_MINOR */
    uint32_t struct_size;  /* sizeof(toolkit_loss_plugin_t) */
    uint32_t param_size;   /* sizeof(toolkit_loss_param) */

    uint32_t param_count;
    const toolkit_loss_param *params; /* NULL when there are none */
    const char *id;
    const char *version;
    const char *formula;  /* one line */
    const char *citation;

    /* Makes an instance from one value a parameter, in the order of declaration, each within its bounds. */
    int32_t (*create)(const double *values, size_t count, uint32_t head, void **instance, toolkit_loss_message message);
    /* Training examples of each class; called once, before the first eval. */
    int32_t (*prepare)(void *instance, const uint64_t *counts, size_t classes, toolkit_loss_message message);
    /* Writes loss[n] and slope[n], the derivative of the loss by the log-odds. Class ids are below `classes`.
     * Several threads call it at once on one instance. eval_f32 may be NULL: then eval_f64 serves both. */
    int32_t (*eval_f32)(const void *instance, size_t n, const float *log_odds, const uint32_t *classes, float *loss,
                        float *slope, toolkit_loss_message message);
    int32_t (*eval_f64)(const void *instance, size_t n, const double *log_odds, const uint32_t *classes, double *loss,
                        double *slope, toolkit_loss_message message);
    void (*destroy)(void *instance);
    /* NULL, or a function that gives named extensions and NULL for names that it does not know. */
    const void *(*extension)(const char *name);
} toolkit_loss_plugin_t;

/* The functions of an extension are all required: one that is NULL makes the plugin unusable.
 *
 * ---- Optional: what a loss does to the logits before its formula -------------------------------------------
 *
 *     z'_j = scale_j * z_j + bias_j - [j = y] * margin_y          log-odds are those of z'
 *
 * `extension("toolkit.adjustment.1")` gives a toolkit_loss_adjustment_extension. */
#define TOOLKIT_ADJUSTMENT_EXTENSION "toolkit.adjustment.1"
#define TOOLKIT_NORMALISED_CLASSIFIER 1u /* asks for logits that are cosines */

typedef struct toolkit_loss_adjustment {
    double *scale;          /* [classes], 1 at first; finite, above 0 */
    double *bias;           /* [classes], 0 at first */
    double *margin;         /* [classes], 0 at first */
    double *weight;         /* [classes], 1 at first: the class weights of the reduction weighted-mean */
    double label_smoothing; /* of a softmax head, 0 at first: adds label_smoothing * (z'_y - mean of z') */
    uint32_t flags;         /* TOOLKIT_NORMALISED_CLASSIFIER, 0 at first */
} toolkit_loss_adjustment;

typedef struct toolkit_loss_adjustment_extension {
    size_t struct_size; /* sizeof(toolkit_loss_adjustment_extension) */
    /* Changes what differs from the first values; called on a prepared instance. */
    int32_t (*describe)(const void *instance, size_t classes, toolkit_loss_adjustment *adjustment,
                        toolkit_loss_message message);
} toolkit_loss_adjustment_extension;

/* ---- Optional: the formula as data, for tensor operations on any device --------------------------------------
 *
 * `extension("toolkit.expression.1")` gives a toolkit_loss_expression_extension. Without it, a toolkit that computes
 * on an accelerator copies the log-odds to the host, calls eval_f64, and copies the results back. */
#define TOOLKIT_EXPRESSION_EXTENSION "toolkit.expression.1"

enum toolkit_node_op {
    TOOLKIT_NODE_LOG_ODDS = 0,       /* m */
    TOOLKIT_NODE_CONSTANT = 1,       /* value */
    TOOLKIT_NODE_TABLE = 2,          /* the true class's entry of table args[0] */
    TOOLKIT_NODE_NEG = 3,            /* -a */
    TOOLKIT_NODE_ADD = 4,            /* a + b */
    TOOLKIT_NODE_SUB = 5,            /* a - b */
    TOOLKIT_NODE_MUL = 6,            /* a * b */
    TOOLKIT_NODE_DIV = 7,            /* a / b */
    TOOLKIT_NODE_EXP = 8,            /* exp(a) */
    TOOLKIT_NODE_SELECT_GREATER = 9, /* c where a > b, else d */
    TOOLKIT_NODE_P = 10,             /* 1/(1+exp(-a)) */
    TOOLKIT_NODE_NOT_P = 11,         /* 1/(1+exp(a)) */
    TOOLKIT_NODE_LOG_P = 12,         /* -log1p(exp(-a)) */
    TOOLKIT_NODE_LOG_NOT_P = 13,     /* -log1p(exp(a)) */
    TOOLKIT_NODE_LN = 14             /* log(a) */
};

typedef struct toolkit_loss_node {
    uint32_t op;      /* enum toolkit_node_op */
    uint32_t args[4]; /* a, b, c, d: earlier nodes, counted from 0; 0 where the operation takes fewer */
    double value;     /* of TOOLKIT_NODE_CONSTANT; else 0 */
} toolkit_loss_node;

typedef struct toolkit_loss_recorder {
    void *context;                                         /* first argument of both */
    void (*table)(void *context, const double *values);    /* takes the next table, [classes], and copies it */
    void (*node)(void *context, const toolkit_loss_node *node); /* takes the next node; the last one is the loss */
} toolkit_loss_recorder;

typedef struct toolkit_loss_expression_extension {
    size_t struct_size; /* sizeof(toolkit_loss_expression_extension) */
    /* Says the formula of a prepared instance. */
    int32_t (*record)(const void *instance, const toolkit_loss_recorder *recorder, toolkit_loss_message message);
} toolkit_loss_expression_extension;

/* Whole-tensor losses, for those that are no function of the log-odds: a plugin whose extension("toolkit.tensor.1") gives
 * a toolkit_loss_tensor_extension may leave both eval entries NULL. It links the libtorch that the toolkit runs, and is
 * refused where the versions differ. Tensors are passed as pointers to at::Tensor. */
#define TOOLKIT_TENSOR_EXTENSION "toolkit.tensor.1"
/* If the text that `libtorch` points at stands behind this one, in one string constant, the toolkit can tell which
 * libtorch the plugin needs even where it cannot be loaded. */
#define TOOLKIT_TENSOR_NEEDS "toolkit.tensor.1 needs libtorch "

typedef struct toolkit_loss_tensor_inputs {
    size_t struct_size;
    void *logits;      /* [n, columns], float32 or float64, with its graph */
    void *targets;     /* [n], int64: a class, or -1 for the background of a sigmoid head */
    void *features;    /* [n, width], what the logits were made from; NULL where the front-end gives none */
    uint32_t training; /* 1 while training, 0 while measuring */
} toolkit_loss_tensor_inputs;

typedef struct toolkit_loss_tensor_extension {
    size_t struct_size;   /* sizeof(toolkit_loss_tensor_extension) */
    const char *libtorch; /* TORCH_VERSION of the headers it was compiled with */
    /* Writes the loss of each example, [n] with its graph, as a new at::Tensor, which the toolkit deletes. One thread at
     * a time calls these three on one instance. None of them may be NULL. */
    int32_t (*forward)(void *instance, const toolkit_loss_tensor_inputs *inputs, void **loss,
                       toolkit_loss_message message);
    /* Writes the length of what was accumulated (0 if nothing is) to `size`, and those bytes to `data` where `capacity`
     * suffices. */
    int32_t (*save_state)(void *instance, uint8_t *data, size_t capacity, size_t *size, toolkit_loss_message message);
    /* Goes on from bytes that save_state of an equal instance wrote. */
    int32_t (*load_state)(void *instance, const uint8_t *data, size_t size, toolkit_loss_message message);
} toolkit_loss_tensor_extension;

/* What a plugin defines. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
extern const toolkit_loss_plugin_t toolkit_loss_plugin;

/* log p at log-odds m, exact for every finite m. */
static inline double toolkit_log_p(double m) { return (m < 0 ? m : 0) - log1p(exp(-fabs(m))); }
/* log(1-p) at log-odds m. */
static inline double toolkit_log_not_p(double m) { return toolkit_log_p(-m); }
/* p at log-odds m. */
static inline double toolkit_p(double m) {
    double tail = exp(-fabs(m));
    return (m > 0 ? 1.0 : tail) / (1.0 + tail);
}

/* 1 - p at log-odds m, without cancellation near p = 1. */
static inline double toolkit_not_p(double m) { return toolkit_p(-m); }
/* The derivatives by m of log p and of log(1-p). */
static inline double toolkit_log_p_slope(double m) { return toolkit_p(-m); }
static inline double toolkit_log_not_p_slope(double m) { return -toolkit_p(m); }
/* The effective number of n examples, (1 - beta^n) / (1 - beta), without cancellation; 1 for beta = 0. */
static inline double toolkit_effective_number(double n, double beta) {
    return beta == 0 ? 1.0 : -expm1(n * log(beta)) / (1.0 - beta);
}

#ifdef __cplusplus
}
#endif

#endif
