/* A whole-tensor plugin that was built for a libtorch long gone; with MISSING, one that cannot be loaded beside another. */
#include <string.h>

#include "toolkit_loss.h"

void gone_since(void);

static int32_t create(const double *values, size_t count, uint32_t head, void **instance, toolkit_loss_message message) {
    (void)values, (void)count, (void)head, (void)message;
    static int one;
    *instance = &one;
    return TOOLKIT_LOSS_OK;
}

static int32_t prepare(void *instance, const uint64_t *counts, size_t classes, toolkit_loss_message message) {
    (void)instance, (void)counts, (void)classes, (void)message;
    return TOOLKIT_LOSS_OK;
}

static void destroy(void *instance) { (void)instance; }

static int32_t forward(void *instance, const toolkit_loss_tensor_inputs *inputs, void **loss, toolkit_loss_message message) {
    (void)instance, (void)inputs, (void)message;
#ifdef MISSING
    gone_since();
#endif
    /* Whoever calls this despite the version has what it asked for. */
    *loss = (void *)8;
    return TOOLKIT_LOSS_OK;
}

static int32_t save_state(void *instance, uint8_t *data, size_t capacity, size_t *size, toolkit_loss_message message) {
    (void)instance, (void)data, (void)capacity, (void)message;
    *size = 0;
    return TOOLKIT_LOSS_OK;
}

static int32_t load_state(void *instance, const uint8_t *data, size_t size, toolkit_loss_message message) {
    (void)instance, (void)data, (void)size, (void)message;
    return TOOLKIT_LOSS_OK;
}

static const char needs[] = TOOLKIT_TENSOR_NEEDS "0.0.1";

static const void *extension(const char *name) {
    static toolkit_loss_tensor_extension tensors = {sizeof tensors, 0, forward, save_state, load_state};
    tensors.libtorch = needs + sizeof TOOLKIT_TENSOR_NEEDS - 1;
    return strcmp(name, TOOLKIT_TENSOR_EXTENSION) == 0 ? &tensors : NULL;
}

const toolkit_loss_plugin_t toolkit_loss_plugin = {
    .magic = TOOLKIT_LOSS_MAGIC,
    .abi_major = TOOLKIT_LOSS_ABI_MAJOR,
    .abi_minor = TOOLKIT_LOSS_ABI_MINOR,
    .struct_size = sizeof(toolkit_loss_plugin_t),
    .param_size = sizeof(toolkit_loss_param),
    .id = "other-libtorch",
    .version = "1.0",
    .formula = "none",
    .citation = "none",
    .create = create,
    .prepare = prepare,
    .destroy = destroy,
    .extension = extension,
};
