/* Plugins that break the contract, one a FAULT, for the tests of the loader and of evaluation. */
#include <string.h>

#include "toolkit_loss.h"

#define WRONG_MAGIC 1   /* another kind of library's symbol */
#define OTHER_ABI 2     /* built for another major version */
#define SMALL_STRUCT 3  /* built with a damaged header */
#define DOES_NOTHING 4  /* eval returns 0 and writes nothing */
#define NAN_RESULT 5    /* eval writes NaN */
#define SHORT_RESULT 6  /* eval leaves the last example unwritten */
#define NO_EVAL 7       /* lacks an entry point */
#define SAYS_NO 8       /* prepare fails with a message */
#define BAD_DEFAULT 9   /* a parameter's default is out of its own range */

static int32_t create(const double *values, size_t count, uint32_t head, void **instance, toolkit_loss_message message) {
    (void)values, (void)count, (void)head, (void)message;
    static char only;
    *instance = &only;
    return TOOLKIT_LOSS_OK;
}

static int32_t prepare(void *instance, const uint64_t *counts, size_t classes, toolkit_loss_message message) {
    (void)instance, (void)counts, (void)classes;
    if (FAULT == SAYS_NO && message.size > 16) {
        strcpy(message.data, "too few classes");
        return 7;
    }
    return TOOLKIT_LOSS_OK;
}

static int32_t eval_f64(const void *instance, size_t n, const double *log_odds, const uint32_t *classes, double *loss,
                        double *slope, toolkit_loss_message message) {
    (void)instance, (void)classes, (void)message;
    if (FAULT == DOES_NOTHING) return 0;
    for (size_t i = 0; i < (FAULT == SHORT_RESULT ? n - 1 : n); i++) {
        loss[i] = FAULT == NAN_RESULT ? NAN : -log_odds[i];
        slope[i] = -1;
    }
    return TOOLKIT_LOSS_OK;
}

static void destroy(void *instance) { (void)instance; }

static const toolkit_loss_param params[] = {{
    .name = "beta",
    .help = "unused",
    .kind = TOOLKIT_PARAM_NUMBER,
    .default_value = FAULT == BAD_DEFAULT ? 2 : 0.5,
    .default_sigmoid = 0.5,
    .minimum = 0,
    .maximum = 1,
}};

const toolkit_loss_plugin_t toolkit_loss_plugin = {
    .magic = FAULT == WRONG_MAGIC ? 1 : TOOLKIT_LOSS_MAGIC,
    .abi_major = FAULT == OTHER_ABI ? 9 : TOOLKIT_LOSS_ABI_MAJOR,
    .abi_minor = TOOLKIT_LOSS_ABI_MINOR,
    .struct_size = FAULT == SMALL_STRUCT ? 24 : sizeof(toolkit_loss_plugin_t),
    .param_size = sizeof(toolkit_loss_param),
    .param_count = 1,
    .params = params,
    .id = "faulty",
    .version = "1.0",
    .formula = "none",
    .citation = "none",
    .create = create,
    .prepare = prepare,
    .eval_f64 = FAULT == NO_EVAL ? NULL : eval_f64,
    .destroy = destroy,
};
