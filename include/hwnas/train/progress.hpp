// SPDX-License-Identifier: MIT
// What a training tells its caller between two steps: where it stands, and what a checkpoint has to keep.
#pragma once

#include <hwnas/train/optimizer.hpp>

#include <chrono>
#include <cmath>
#include <functional>

namespace hwnas {

/// Where a training stands between two steps. metrics() waits for the device: call it as rarely as you can. A training
/// on a GPU reads nothing itself but at the end of an epoch.
struct TrainingProgress {
    int epoch = 0, epochs = 0;                     ///< the epoch of the last step, from 0; of how many
    std::int64_t step = 0, steps = 0;              ///< steps of this epoch done, and steps an epoch has
    std::int64_t batch = 0;                        ///< examples a step
    std::function<std::vector<double>()> metrics;  ///< means of this epoch so far: {loss, metric, ...}
};

/// Gets all that training changes, by name: io::save_checkpoint(file, state). A training that has these values assigned
/// before its first step ends with the same bits as one that was never stopped.
using CheckpointCallback = std::function<void(const std::vector<NamedTensor>& state, const TrainingProgress& progress)>;

namespace detail {

[[noreturn]] inline void fail_not_finite(const char* who, int epoch, double learning_rate) {
    fail(
        "{}: the loss is not finite in epoch {} (learning rate {} too high, or values that are not finite in the data)",
        who, epoch + 1, learning_rate);
}

/// Whether a training looks at its loss after step `step` of an epoch, from 1: at the epoch's end, and on a CPU every
/// 100 steps. To read what another device computes is to wait for it, and then to begin the next step late.
inline bool loss_is_due(const Device& device, std::int64_t step, std::int64_t steps) {
    return step == steps || (step % 100 == 0 && device.backend().cpu());
}

/// When a checkpoint is due: by time, at the end of every epoch, and where a training stops.
class CheckpointClock {
public:
    using Clock = std::chrono::steady_clock;

    CheckpointClock(const char* who, const CheckpointCallback& save, std::chrono::duration<double> every)
        : save_(save), every_(every), last_(Clock::now()) {
        require(every.count() >= 0, "{}: checkpoint_every {} s is negative; 0 saves at the end of epochs only", who,
                every.count());
    }
    /// After a step; `last` is the end of an epoch or of the training.
    bool due(bool last) const { return save_ && (last || (every_.count() > 0 && Clock::now() - last_ >= every_)); }
    void save(const std::vector<NamedTensor>& state, const TrainingProgress& progress) {
        save_(state, progress);
        last_ = Clock::now();
    }

private:
    const CheckpointCallback& save_;
    std::chrono::duration<double> every_;
    Clock::time_point last_;
};

}  // namespace detail
}  // namespace hwnas
