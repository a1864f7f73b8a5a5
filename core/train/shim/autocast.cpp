// libtorch's autocast of this thread, for any device.

#include <ATen/autocast_mode.h>

namespace {

at::DeviceType device(bool cuda) { return cuda ? at::kCUDA : at::kCPU; }

} // namespace

// Begins bfloat16, or float16; returns whether autocast was on before.
extern "C" bool imbalance_autocast_begin(bool cuda, bool half) {
    const bool before = at::autocast::is_autocast_enabled(device(cuda));
    at::autocast::set_autocast_enabled(device(cuda), true);
    at::autocast::set_autocast_dtype(device(cuda), half ? at::kHalf : at::kBFloat16);
    at::autocast::increment_nesting();
    return before;
}

// Ends bfloat16 for the time being; returns whether it was on.
extern "C" bool imbalance_autocast_pause_bfloat16(bool cuda) {
    const bool on = at::autocast::is_autocast_enabled(device(cuda)) && at::autocast::get_autocast_dtype(device(cuda)) == at::kBFloat16;
    if (on) {
        at::autocast::set_autocast_enabled(device(cuda), false);
    }
    return on;
}

extern "C" void imbalance_autocast_go_on(bool cuda) { at::autocast::set_autocast_enabled(device(cuda), true); }

extern "C" void imbalance_autocast_end(bool cuda, bool before) {
    // The cast weights are kept for the outermost region only: the next step changes them.
    if (at::autocast::decrement_nesting() == 0) {
        at::autocast::clear_cache();
    }
    at::autocast::set_autocast_enabled(device(cuda), before);
}
