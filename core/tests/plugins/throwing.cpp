// A plugin that breaks the contract in C++: an exception leaves `eval_f64`.
#include <stdexcept>

#include "toolkit_loss.h"

static int instance;

static int32_t create(const double *, size_t, uint32_t, void **made, toolkit_loss_message) {
    *made = &instance;
    return TOOLKIT_LOSS_OK;
}

static int32_t prepare(void *, const uint64_t *, size_t, toolkit_loss_message) { return TOOLKIT_LOSS_OK; }

static int32_t eval_f64(const void *, size_t, const double *, const uint32_t *, double *, double *,
                        toolkit_loss_message) {
    throw std::runtime_error("nobody catches this");
}

static void destroy(void *) {}

extern "C" const toolkit_loss_plugin_t toolkit_loss_plugin = {
    TOOLKIT_LOSS_MAGIC,
    TOOLKIT_LOSS_ABI_MAJOR,
    TOOLKIT_LOSS_ABI_MINOR,
    sizeof(toolkit_loss_plugin_t),
    sizeof(toolkit_loss_param),
    0,
    nullptr,
    "throwing",
    "1.0",
    "none",
    "none",
    create,
    prepare,
    nullptr,
    eval_f64,
    destroy,
    nullptr,
};
