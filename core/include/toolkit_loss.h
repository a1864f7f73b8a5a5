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
 * functions. Usable from C11 and C++17 on; core/tests/plugins/margin.c is a whole plugin.
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

#ifdef __cplusplus
}
#endif

#endif
