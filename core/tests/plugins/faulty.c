/* Plugins that break the contract, one a FAULT, for the tests of the loader, of evaluation and of `losses check`. */
#include <stdlib.h>
#include <string.h>

#include "toolkit_loss.h"

#define WRONG_MAGIC 1     /* another kind of library's symbol */
#define OTHER_ABI 2       /* built for another major version */
#define SMALL_STRUCT 3    /* built with a damaged header */
#define DOES_NOTHING 4    /* eval returns 0 and writes nothing */
#define NAN_RESULT 5      /* eval writes NaN */
#define SHORT_RESULT 6    /* eval leaves the last example unwritten */
#define NO_EVAL 7         /* lacks an entry point */
#define SAYS_NO 8         /* prepare fails with a message */
#define BAD_DEFAULT 9     /* a parameter's default is out of its own range */
#define WRITES_BEYOND 10  /* eval writes one number past the end of `slope` */
#define WRITES_INPUT 11   /* eval changes its log-odds */
#define NEVER_RETURNS 12  /* eval loops for ever */
#define WRONG_SLOPE 13    /* the slope is 1 % off */
#define KEEPS_STATE 14    /* each call gives a little more */
#define SHARED_SCRATCH 15 /* eval computes in memory that all threads share */
#define SEGFAULTS 16      /* eval reads through a null pointer */
#define JUMPS 17          /* the loss is not continuous */
#define READS_BEYOND 18   /* eval reads the number past the end of its log-odds */
#define OPEN_MESSAGE 19   /* a message does not end with NUL */
#define LONG_MESSAGE 20   /* a message is longer than its buffer */
#define EXITS 21          /* create ends the process where a parameter is out of its range */
#define ONE_FOR_ALL 22    /* all instances share the counts of the one prepared last */
#define KINK 23           /* the slope jumps, which is allowed */
#define BY_LANES 24       /* eval rounds differently in the last of every sixteen examples */
#define INFINITE 25       /* the loss is infinite at log-odds above 79 */
#define REFUSES_EDGE 26   /* create refuses what the declaration allows */
#define BAD_FLOAT32 27    /* eval_f32 has three digits */
#define TWO_NAMES 28      /* two parameters have one name */
#define HANGS_OPENING 29  /* the library's constructor never returns */
#define SOFTMAX_ONLY 30   /* create says that it is for softmax heads alone, which is allowed */
#define NO_DESCRIBE 31    /* an extension lacks its function */
#define PANICS_AT_EDGE 32 /* create panics for what the declaration allows, as export_loss! says it */
#define PANICS 33         /* create panics with the defaults on one head */

#if FAULT == HANGS_OPENING
__attribute__((constructor)) static void hang(void) {
    for (volatile int spin = 1; spin;) {
    }
}
#endif

/* Examples of the last class of the instance that was prepared last. */
static double last_count = 1;

static int32_t create(const double *values, size_t count, uint32_t head, void **instance, toolkit_loss_message message) {
    (void)count;
    static char only;
    if (FAULT == SOFTMAX_ONLY && head != TOOLKIT_HEAD_SOFTMAX) {
        strncpy(message.data, "it needs a softmax head", message.size - 1);
        message.data[message.size - 1] = 0;
        return 3;
    }
    *instance = &only;
    int in_range = values[0] > 0 && values[0] < 1;
    if (FAULT == EXITS && !in_range) exit(0);
    if (FAULT == REFUSES_EDGE && values[0] > 0.9) return 3;
    if ((FAULT == PANICS_AT_EDGE && values[0] > 0.9) || (FAULT == PANICS && head != TOOLKIT_HEAD_SOFTMAX)) {
        strncpy(message.data, "panicked: index out of bounds", message.size - 1);
        message.data[message.size - 1] = 0;
        return 3;
    }
    if (FAULT == OPEN_MESSAGE && !in_range) {
        memset(message.data, 'x', message.size);
        return 3;
    }
    if (FAULT == LONG_MESSAGE && !in_range) {
        strcpy(message.data, "a message of thirty-one letters");
        return 3;
    }
    return TOOLKIT_LOSS_OK;
}

static int32_t prepare(void *instance, const uint64_t *counts, size_t classes, toolkit_loss_message message) {
    (void)instance;
    if (FAULT == SAYS_NO && message.size > 16) {
        strcpy(message.data, "too few classes");
        return 7;
    }
    last_count = (double)counts[classes - 1];
    return TOOLKIT_LOSS_OK;
}

/* Scratch memory that threads tread on each other's toes in. */
static double scratch[1024];

static int32_t eval_f64(const void *instance, size_t n, const double *log_odds, const uint32_t *classes, double *loss,
                        double *slope, toolkit_loss_message message) {
    (void)instance, (void)classes, (void)message;
    static double calls = 0;
    if (FAULT == DOES_NOTHING) return 0;
    if (FAULT == SEGFAULTS) return *(volatile int32_t *)NULL;
    for (volatile int spin = FAULT == NEVER_RETURNS; spin;) {
    }
    if (FAULT == KEEPS_STATE) calls += 1;
    if (FAULT == WRITES_INPUT && n > 0) ((double *)log_odds)[0] = 0;
    if (FAULT == SHARED_SCRATCH) {
        for (size_t i = 0; i < n && i < 1024; i++) ((volatile double *)scratch)[i] = log_odds[i];
        for (size_t i = 0; i < n && i < 1024; i++) {
            loss[i] = -((volatile double *)scratch)[i];
            slope[i] = -1;
        }
        return TOOLKIT_LOSS_OK;
    }
    double beyond = FAULT == READS_BEYOND ? ((const volatile double *)log_odds)[n] : 0;
    for (size_t i = 0; i < (FAULT == SHORT_RESULT ? n - 1 : n); i++) {
        double m = log_odds[i];
        loss[i] = FAULT == NAN_RESULT ? NAN : -m;
        slope[i] = -1;
        if (FAULT == WRONG_SLOPE) slope[i] = -1.01;
        if (FAULT == KEEPS_STATE) loss[i] += 1e-9 * calls;
        if (FAULT == JUMPS && m > 0.3) loss[i] += 0.001;
        if (FAULT == ONE_FOR_ALL) loss[i] += last_count;
        if (FAULT == KINK && m > 0.3) loss[i] = -0.3 - 0.5 * (m - 0.3), slope[i] = -0.5;
        if (FAULT == BY_LANES && i % 16 == 15) loss[i] += 1e-3;
        if (FAULT == INFINITE && m > 79) loss[i] = -INFINITY;
        if (beyond == 12345) loss[i] = 0;
    }
    if (FAULT == WRITES_BEYOND) slope[n] = 0;
    return TOOLKIT_LOSS_OK;
}

static int32_t eval_f32(const void *instance, size_t n, const float *log_odds, const uint32_t *classes, float *loss,
                        float *slope, toolkit_loss_message message) {
    (void)instance, (void)classes, (void)message;
    for (size_t i = 0; i < n; i++) {
        loss[i] = -log_odds[i] * 1.001f;
        slope[i] = -1;
    }
    return TOOLKIT_LOSS_OK;
}

static void destroy(void *instance) { (void)instance; }

static const void *extension(const char *name) {
    static const toolkit_loss_adjustment_extension adjustment = {.struct_size = sizeof adjustment};
    return strcmp(name, TOOLKIT_ADJUSTMENT_EXTENSION) == 0 ? &adjustment : NULL;
}

#define BETA(default_softmax)                                                                                      \
    {                                                                                                              \
        .name = "beta", .help = "unused", .kind = TOOLKIT_PARAM_NUMBER, .default_value = default_softmax,          \
        .default_sigmoid = 0.5, .minimum = 0, .maximum = 1,                                                        \
    }

static const toolkit_loss_param params[] = {BETA(FAULT == BAD_DEFAULT ? 2 : 0.5), BETA(0.5)};

const toolkit_loss_plugin_t toolkit_loss_plugin = {
    .magic = FAULT == WRONG_MAGIC ? 1 : TOOLKIT_LOSS_MAGIC,
    .abi_major = FAULT == OTHER_ABI ? 9 : TOOLKIT_LOSS_ABI_MAJOR,
    .abi_minor = TOOLKIT_LOSS_ABI_MINOR,
    .struct_size = FAULT == SMALL_STRUCT ? 24 : sizeof(toolkit_loss_plugin_t),
    .param_size = sizeof(toolkit_loss_param),
    .param_count = FAULT == TWO_NAMES ? 2 : 1,
    .params = params,
    .id = "faulty",
    .version = "1.0",
    .formula = "none",
    .citation = "none",
    .create = create,
    .prepare = prepare,
    .eval_f32 = FAULT == BAD_FLOAT32 ? eval_f32 : NULL,
    .eval_f64 = FAULT == NO_EVAL ? NULL : eval_f64,
    .destroy = destroy,
    .extension = FAULT == NO_DESCRIBE ? extension : NULL,
};
