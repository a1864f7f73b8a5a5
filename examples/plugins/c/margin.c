/* A whole loss plugin in C: -log p at log-odds lowered by a margin that is larger for rarer classes.
 *
 *     l(m, c) = -log p(m - margin * n_c^(-1/4) / max of that)
 *
 * From the root of the repository:
 *
 *     cc -std=c11 -O2 -shared -fPIC -I core/include examples/plugins/c/margin.c -lm -o libtoolkit_loss_c_margin.so
 *     toolkit losses check ./libtoolkit_loss_c_margin.so
 *     toolkit losses install ./libtoolkit_loss_c_margin.so
 */
#include <stdio.h>
#include <stdlib.h>

#include "toolkit_loss.h"

struct margin {
    double largest;
    double *margins;
};

static int32_t create(const double *values, size_t count, uint32_t head, void **instance, toolkit_loss_message message) {
    (void)count;
    (void)head;
    struct margin *made = malloc(sizeof *made);
    if (!made) {
        snprintf(message.data, message.size, "out of memory");
        return 1;
    }
    made->largest = values[0];
    made->margins = NULL;
    *instance = made;
    return TOOLKIT_LOSS_OK;
}

static int32_t prepare(void *instance, const uint64_t *counts, size_t classes, toolkit_loss_message message) {
    struct margin *loss = instance;
    loss->margins = malloc(classes * sizeof *loss->margins);
    if (!loss->margins) {
        snprintf(message.data, message.size, "out of memory for %zu classes", classes);
        return 1;
    }
    double most = 0;
    for (size_t c = 0; c < classes; c++) {
        loss->margins[c] = pow(counts[c] ? (double)counts[c] : 1.0, -0.25);
        if (loss->margins[c] > most) most = loss->margins[c];
    }
    for (size_t c = 0; c < classes; c++) loss->margins[c] *= loss->largest / most;
    return TOOLKIT_LOSS_OK;
}

static int32_t eval_f64(const void *instance, size_t n, const double *log_odds, const uint32_t *classes, double *loss,
                        double *slope, toolkit_loss_message message) {
    (void)message;
    const struct margin *made = instance;
    for (size_t i = 0; i < n; i++) {
        double m = log_odds[i] - made->margins[classes[i]];
        loss[i] = -toolkit_log_p(m);
        slope[i] = -toolkit_p(-m);
    }
    return TOOLKIT_LOSS_OK;
}

static void destroy(void *instance) {
    struct margin *loss = instance;
    free(loss->margins);
    free(loss);
}

static const toolkit_loss_param params[] = {{
    .name = "largest-margin",
    .help = "the margin of the rarest class",
    .kind = TOOLKIT_PARAM_NUMBER,
    .bounds = TOOLKIT_MINIMUM_INCLUSIVE,
    .default_value = 0.5,
    .default_sigmoid = 0.5,
    .minimum = 0,
    .maximum = INFINITY,
}};

const toolkit_loss_plugin_t toolkit_loss_plugin = {
    .magic = TOOLKIT_LOSS_MAGIC,
    .abi_major = TOOLKIT_LOSS_ABI_MAJOR,
    .abi_minor = TOOLKIT_LOSS_ABI_MINOR,
    .struct_size = sizeof(toolkit_loss_plugin_t),
    .param_size = sizeof(toolkit_loss_param),
    .param_count = sizeof params / sizeof *params,
    .params = params,
    .id = "c-margin",
    .version = "1.0",
    .formula = "-log p(m - margin_c)",
    .citation = "an example of a plugin in C",
    .create = create,
    .prepare = prepare,
    .eval_f64 = eval_f64,
    .destroy = destroy,
};
