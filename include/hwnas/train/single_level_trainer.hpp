// SPDX-License-Identifier: MIT
// SingleLevelTrainer: one run for all S. Every step draws S from the simplex, lets the hypernetwork emit logits, draws
// gamma by Gumbel-Softmax, and takes one Adam step on w and a together for
//   task loss + lambda Complexity(S) + kappa Latency / Latency_ref.
// The step is recorded once and replayed; all that changes from step to step follows from one counter on the device,
// so a run can be stopped and resumed at any step with the same bits.
#pragma once

#include <hwnas/hypernet/hypernet.hpp>
#include <hwnas/ops/gumbel_softmax.hpp>
#include <hwnas/ops/simplex_sample.hpp>
#include <hwnas/supernet/supernet.hpp>
#include <hwnas/train/fit.hpp>
#include <hwnas/train/objective.hpp>

namespace hwnas {

template <class Net>
class BasicFamily;  // in family/family.hpp, a layer above: include it to call fit()

/// Objective, schedule and callbacks of a search; see docs/method.md for the symbols.
template <class T>
struct BasicTrainerOptions {
    int epochs = 20;                        ///< passes over the training data
    std::int64_t batch = 128;               ///< examples a step; what is left of an epoch is dropped
    SearchMode mode = SearchMode::relaxed;  ///< how the choice on an edge is relaxed
    bool draw_per_image = false;            ///< one draw of gamma per image (G = N) instead of one a batch (G = 1)
    double learning_rate = 2e-3;            ///< of the weights w; half a cosine from it to 5 % of it
    double hyper_learning_rate = 3e-3;      ///< of the hypernetwork's weights a; constant after its warm-up
    double hyper_warmup =
        0.2;  ///< part of the run over which it rises from 0: early task gradients are large and say little
    double weight_decay = 0;             ///< of w, decoupled from the gradient (AdamW)
    double complexity_weight = 8.0;      ///< lambda, weight of the complexity term
    double complexity_curvature = 0.88;  ///< q of complexity_term(): 0 linear, 1 quadratic in the use of a primitive
    double latency_weight = 0.1;  ///< kappa; needs a LatencyModel unless 0. Of a hypernetwork that is conditioned
                                  ///< on it the largest kappa: every step draws one, uniform from 0 to it
    double logit_penalty =
        0.001;  ///< weight of mean(alpha^2): without it early, noisy gradients saturate rows for good
    ComplexityCost complexity_cost = ComplexityCost::count;  ///< what a choice costs: the c of the complexity term
    bool costs_on_sample = false;                           ///< cost terms on the drawn gamma instead of softmax(alpha)
    double temperature_start = 1.0, temperature_end = 0.2;  ///< of Gumbel-Softmax, linear over the run; both above 0
    double label_smoothing = 0;  ///< share of the target that all classes share, 0 to 1; used where no task is given
    BasicTask<T> task = {};      ///< what is trained for; not given: classification
    std::function<bool(const TrainingProgress&)> on_step = {};  ///< after every step; false stops (state() stays valid)
    std::function<void(const TrainingProgress&)> on_epoch = {};  ///< after every epoch, before the next
    /// After on_epoch, where on_step stops, and in between whenever checkpoint_every has passed; gets state().
    CheckpointCallback on_checkpoint = {};
    /// Time between two checkpoints inside an epoch; 0: none there.
    std::chrono::duration<double> checkpoint_every = std::chrono::minutes(1);
};
/// Options of a search in float.
using TrainerOptions = BasicTrainerOptions<float>;

/// One run for all S: per step it draws S from the simplex, gets logits from the hypernetwork, draws gamma by
/// Gumbel-Softmax and updates w and a on the same batch. Net: BasicSuperNet, or any module of the user's with
/// value_type, forward(x, relaxation, phase), architecture(), state(), momentum(), device(), seed() and clone().
template <class Net>
class SingleLevelTrainer {
public:
    /// Type of the weights: float or double.
    using T = typename Net::value_type;
    /// Options of a search with these weights.
    using Options = BasicTrainerOptions<T>;

    /// A search with latency in its objective. Takes over its parts; throws Error where their rows or primitives
    /// differ, or an option is out of range.
    SingleLevelTrainer(Net supernet, BasicHyperNet<T> hypernet, LatencyModel latency, Options options = {})
        : SingleLevelTrainer(std::move(supernet), std::move(hypernet), std::optional<LatencyModel>(std::move(latency)),
                             std::move(options)) {}
    /// A search with or without latency; without (std::nullopt) latency_weight must be 0. The way for a network that is
    /// not of a SearchSpace: a LatencyModel knows the units of spaces only.
    SingleLevelTrainer(Net supernet, BasicHyperNet<T> hypernet, std::optional<LatencyModel> latency, Options options)
        : supernet_(std::move(supernet)),
          hypernet_(std::move(hypernet)),
          latency_(std::move(latency)),
          options_(std::move(options)),
          device_(supernet_.device()) {
        const auto& a = architecture();
        require(a.rows() == hypernet_.rows() && a.k() == hypernet_.k(),
                "trainer: the supernet has {} rows of {} primitives, the hypernetwork {} of {}", a.rows(), a.k(),
                hypernet_.rows(), hypernet_.k());
        require(options_.temperature_start > 0 && options_.temperature_end > 0,
                "trainer: temperature from {} to {} reaches 0; Gumbel-Softmax needs it above 0",
                options_.temperature_start, options_.temperature_end);
        require(options_.hyper_learning_rate > 0, "trainer: hyper_learning_rate {} is not above 0",
                options_.hyper_learning_rate);
        require(options_.hyper_warmup >= 0 && options_.hyper_warmup < 1,
                "trainer: hyper_warmup {} is not in 0 to 1 (1 excluded)", options_.hyper_warmup);
        require(options_.complexity_weight >= 0 && options_.latency_weight >= 0 && options_.logit_penalty >= 0,
                "trainer: complexity_weight {}, latency_weight {} and logit_penalty {} must not be negative",
                options_.complexity_weight, options_.latency_weight, options_.logit_penalty);
        require(options_.complexity_curvature >= 0 && options_.complexity_curvature <= 1,
                "trainer: complexity_curvature {} is not in 0 to 1", options_.complexity_curvature);
        require(options_.latency_weight == 0 || latency_, "trainer: latency_weight {} needs a LatencyModel",
                options_.latency_weight);
        require(
            !hypernet_.options().latency_weight || options_.latency_weight > 0,
            "trainer: the hypernetwork is conditioned on the latency weight, of which latency_weight 0 leaves nothing");
        require(options_.mode != SearchMode::single_path || !options_.draw_per_image,
                "trainer: single_path draws once a batch, not per image");
        options_.task =
            options_.task.loss ? options_.task.checked("trainer") : classification<T>(options_.label_smoothing);
        weights_ = Adam<T>(supernet_.state().parameters, {.weight_decay = options_.weight_decay});
        structure_ = Adam<T>(hypernet_.state().parameters);
        step_ = Tensor<std::int64_t>::scalar(0, device_);
        temperature_ = Tensor<T>::scalar(T(0), device_);
        learning_rate_ = Tensor<T>::scalar(T(0), device_);
        hyper_learning_rate_ = Tensor<T>::scalar(T(0), device_);
        sums_ = Tensor<double>::full({5}, 0.0, device_);
        costs_ = Tensor<T>::from(to<T>(complexity_costs(a, options_.complexity_cost, latency_ ? &*latency_ : nullptr)),
                                 {a.rows(), a.k()}, device_);
    }

    /// Uploads the data and records the step, so that state() can be loaded before fit(); fit(train) does it by itself.
    /// Throws Error for fewer examples than a batch.
    void begin(const Dataset& train) {
        detail::check_training("trainer", options_.epochs, options_.batch, options_.learning_rate, train.count);
        data_ = std::make_shared<DeviceDataset>(DeviceDataset::upload(train, device_));
        steps_ = train.count / options_.batch;
        program_ = Program::record(device_, [&] { submit_step(); });
    }
    /// Trains to the last epoch, or until on_step returns false, and returns the family. Throws Error where the loss
    /// becomes infinite or NaN.
    BasicFamily<Net> fit(const Dataset& train) {
        begin(train);
        return fit();
    }
    /// Trains on from where state() stands; needs begin().
    BasicFamily<Net> fit() {
        require(program_.defined(), "trainer: fit() without data; call begin(train) first, or fit(train)");
        detail::CheckpointClock clock("trainer", options_.on_checkpoint, options_.checkpoint_every);
        for (std::int64_t position = step_.item(); position < steps_ * options_.epochs;) {
            const auto in_epoch = position % steps_;
            if (in_epoch == 0) sums_.assign(0.0);
            program_.run();
            ++position;
            const TrainingProgress progress{
                static_cast<int>((position - 1) / steps_),       options_.epochs, in_epoch + 1, steps_, options_.batch,
                [this, in_epoch] { return means(in_epoch + 1); }};
            const bool epoch_ends = in_epoch + 1 == steps_;
            const auto check = [&] {
                if (!std::isfinite(means(in_epoch + 1)[0]))
                    detail::fail_not_finite("trainer", progress.epoch, options_.learning_rate);
            };
            if (detail::loss_is_due(device_, in_epoch + 1, steps_)) check();
            const bool go_on = !options_.on_step || options_.on_step(progress);
            if (epoch_ends && options_.on_epoch) options_.on_epoch(progress);
            // A state that is lost must not take the place of the last good one.
            if (clock.due(epoch_ends || !go_on)) check(), clock.save(state(), progress);
            if (!go_on) break;
        }
        return family();
    }
    /// Whether all epochs are done.
    bool finished() const { return program_.defined() && step_.item() >= steps_ * options_.epochs; }
    /// Steps done, those before a resume included.
    std::int64_t steps_done() const { return step_.item(); }
    /// Steps of one epoch, examples / batch; 0 before begin().
    std::int64_t steps_per_epoch() const { return steps_; }
    /// Everything that training changes, by name, sharing its memory: weights, moments, statistics, step. Assigning a
    /// saved state between two steps resumes that training with the same bits.
    std::vector<NamedTensor> state() const {
        std::vector<NamedTensor> state;
        weights_.collect(state, "supernet");
        for (const auto& buffer : supernet_.state().buffers)
            state.push_back({"supernet/" + buffer.name, buffer.tensor});
        structure_.collect(state, "hypernet");
        state.push_back({"trainer/step", step_});
        state.push_back({"trainer/sums", sums_});
        return state;
    }
    /// The family as it stands now; owns copies of all it needs.
    BasicFamily<Net> family() const {
        require(data_ != nullptr, "trainer: family() before fit()");
        return BasicFamily<Net>(supernet_.clone(), hypernet_.clone(), latency_, data_, options_.task,
                                options_.latency_weight);
    }
    /// The recorded step: forward, backward and update as a list of kernels.
    const Program& program() const { return program_; }
    /// The rows of choices of the supernet.
    const Architecture& architecture() const { return supernet_.architecture(); }
    /// The supernet with the weights as trained so far.
    const Net& supernet() const { return supernet_; }
    /// The hypernetwork with the weights as trained so far.
    const BasicHyperNet<T>& hypernet() const { return hypernet_; }
    /// The options of the search, with the task filled in (classification where none was given).
    const Options& options() const { return options_; }

private:
    template <class To>
    static std::vector<To> to(const std::vector<double>& values) {
        return {values.begin(), values.end()};
    }
    /// {loss, metric, task loss, complexity, latency in ms} over the first `steps` steps of this epoch.
    std::vector<double> means(std::int64_t steps) const {
        auto m = sums_.to_vector();
        for (double& x : m) x /= static_cast<double>(steps);
        return m;
    }
    void submit_step() {
        const Seed seed = supernet_.seed();
        const auto& a = architecture();
        const std::int64_t total = steps_ * options_.epochs;
        const LabelScope label("step");
        schedule(temperature_, step_,
                 {.start = options_.temperature_start, .end = options_.temperature_end, .total = total});
        schedule(
            learning_rate_, step_,
            {.start = options_.learning_rate, .end = options_.learning_rate * 0.05, .total = total, .cosine = true});
        schedule(hyper_learning_rate_, step_,
                 {.start = options_.hyper_learning_rate,
                  .end = options_.hyper_learning_rate,
                  .total = total,
                  .warmup = static_cast<std::int64_t>(options_.hyper_warmup * static_cast<double>(total))});
        weights_.zero_grad();
        structure_.zero_grad();
        const Variable<T> s(simplex_sample<T>(a.k(), step_, seed.stream("trainer/simplex"), device_));
        // The first coordinate of a point of the 1-simplex is uniform from 0 to 1.
        const Variable<T> weight =
            hypernet_.options().latency_weight
                ? Variable<T>(simplex_sample<T>(2, step_, seed.stream("trainer/latency_weight"), device_).rows(0, 1))
                : Variable<T>();
        const auto alpha = hypernet_.forward(s, weight);
        const auto sample =
            gumbel_softmax(alpha, GumbelSoftmaxOptions<T>{.temperature = temperature_,
                                                          .step = step_,
                                                          .key = seed.stream("trainer/gumbel"),
                                                          .draws = options_.draw_per_image ? options_.batch : 1,
                                                          .hard = options_.mode != SearchMode::relaxed});
        const Relaxation<T> relaxation{sample.gamma, options_.mode, sample.selected};
        const auto batch = gather_batch<T>(
            *data_, step_, {.batch = options_.batch, .shuffle = true, .key = seed.stream("trainer/order")});
        const auto outputs = supernet_.forward(batch.inputs, relaxation, Phase::train);
        const auto task_loss = options_.task.loss(outputs, batch);
        require(task_loss.shape().elements() == 1, "trainer: the task loss has shape {}, expected one element",
                task_loss.shape());
        const auto probabilities = reshape(softmax(alpha), {1, a.rows(), a.k()});
        const auto weights = options_.costs_on_sample ? sample.gamma : probabilities;
        const auto complexity = complexity_term(weights, s, Variable<T>(costs_), options_.complexity_curvature);
        auto loss = add(reshape(task_loss, {}), scale(complexity, options_.complexity_weight));
        if (options_.logit_penalty > 0) loss = add(loss, scale(mean(multiply(alpha, alpha)), options_.logit_penalty));
        if (latency_) {
            const auto milliseconds = latency_->expected(weights);
            if (options_.latency_weight > 0) {
                const auto term = scale(milliseconds, options_.latency_weight / latency_->reference());
                loss = add(loss, weight.defined() ? reshape(multiply(reshape(term, {1}), weight), {}) : term);
            }
            accumulate_scalar(sums_.rows(4, 1).reshape({}), milliseconds.value(), 1.0);
        }
        accumulate_scalar(sums_.rows(0, 1).reshape({}), loss.value(), 1.0);
        accumulate_scalar(sums_.rows(1, 1).reshape({}), options_.task.metric(outputs, batch), 1.0);
        accumulate_scalar(sums_.rows(2, 1).reshape({}), task_loss.value(), 1.0);
        accumulate_scalar(sums_.rows(3, 1).reshape({}), complexity.value(), 1.0);
        backward(loss);
        weights_.step(learning_rate_, step_);
        structure_.step(hyper_learning_rate_, step_);
        advance(step_);
    }

    Net supernet_;
    BasicHyperNet<T> hypernet_;
    std::optional<LatencyModel> latency_;
    Options options_;
    Device device_;
    Adam<T> weights_, structure_;
    Tensor<std::int64_t> step_;
    Tensor<T> temperature_, learning_rate_, hyper_learning_rate_, costs_;
    Tensor<double> sums_;
    std::shared_ptr<DeviceDataset> data_;
    std::int64_t steps_ = 0;
    Program program_;
};

}  // namespace hwnas
