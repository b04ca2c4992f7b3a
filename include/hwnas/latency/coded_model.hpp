// SPDX-License-Identifier: MIT
// CodedLatencyModel: the time of any network of a CodedSpace from a few measured ones: NAS-Bench-201, FBNet, and what
// other systems have measured. For hwnas' own spaces: LatencyModel::fit.
#pragma once

#include <hwnas/core/random.hpp>
#include <hwnas/latency/agreement.hpp>
#include <hwnas/latency/coded_space.hpp>
#include <hwnas/latency/grouped_ridge.hpp>

#include <optional>

namespace hwnas {

/// Networks of a coded space with their measured times.
struct CodedSamples {
    std::vector<Code> codes;  ///< the networks
    std::vector<double> ms;   ///< how long each took, ms

    /// Number of networks.
    std::size_t size() const { return codes.size(); }
    /// The samples at the positions given, in that order; throws std::out_of_range for one that is not there.
    CodedSamples pick(const std::vector<std::size_t>& which) const {
        CodedSamples picked;
        for (const auto i : which) picked.codes.push_back(codes.at(i)), picked.ms.push_back(ms.at(i));
        return picked;
    }
};

/// 0, ..., n - 1 in a random order that depends on the seed alone: for splits into training and test samples.
inline std::vector<std::size_t> random_order(std::size_t n, Seed seed) {
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto key = seed.stream("order");
    for (std::size_t i = n; i > 1; --i) {
        const auto words = random::words_at(key, i, 0);
        std::swap(order[i - 1], order[((std::uint64_t{words.w[0]} << 32) | words.w[1]) % i]);
    }
    return order;
}

/// What CodedLatencyModel::fit() assumes of measurements and runtime.
struct CodedFitOptions {
    /// Degrees of freedom of measurement errors, taken as Student's t: with few of them outliers count for little; 0:
    /// normal errors, plain least squares.
    double degrees_of_freedom = 4;
    /// What the runtime executes; not set: found by cross-validation on the samples.
    std::optional<Execution> execution = {};
    int folds = 10;  ///< parts the samples are split into for that cross-validation
};

/// Milliseconds of any network that is written as a Code, fitted to some that were measured: additive by position and
/// option, with a hierarchical prior that takes to cost the same what the samples cannot tell apart.
class CodedLatencyModel {
public:
    /// Fits time = base + what the options cost: an option's cost at a position is what it costs anywhere, plus what it
    /// costs in the class of the position, level by level, plus known work times a price. How far levels may differ is
    /// found from the samples. Which operations are executed is chosen by cross-validation: everything, unless another
    /// is better by more than one standard error of the difference. Throws Error for fewer than 3 samples, or times
    /// that are not above 0 or not finite.
    static CodedLatencyModel fit(const CodedSpace& space, const CodedSamples& samples,
                                 const CodedFitOptions& options = {}) {
        require(samples.size() >= 3 && samples.ms.size() == samples.size(),
                "latency fit: {} networks with {} times, at least 3 are needed", samples.size(), samples.ms.size());
        for (std::size_t i = 0; i < samples.size(); ++i) {
            space.check(samples.codes[i]);
            require(samples.ms[i] > 0 && std::isfinite(samples.ms[i]),
                    "latency fit: sample {} took {} ms; above 0 is expected, leave out what was not measured", i,
                    samples.ms[i]);
        }
        if (options.execution) return CodedLatencyModel(space, samples, *options.execution, options, {});
        std::vector<CodedLatencyModel> models;
        for (const auto execution : space.executions)
            models.push_back(CodedLatencyModel(space, samples, execution, options, {}));
        std::size_t best = 0;
        std::vector<std::vector<double>> errors;
        if (models.size() > 1) {
            for (const auto& model : models) errors.push_back(model.held_out_errors(samples, options));
            double least = 0;
            for (std::size_t i = 1; i < models.size(); ++i) {
                const auto [gain, deviation] = difference(errors[0], errors[i]);
                if (gain > deviation && gain > least) best = i, least = gain;
            }
        }
        CodedLatencyModel chosen = std::move(models[best]);
        for (const auto& e : errors)
            chosen.tried_.push_back(std::accumulate(e.begin(), e.end(), 0.0) / static_cast<double>(e.size()));
        return chosen;
    }

    /// Milliseconds of a network, never below 0, rounded to 6 digits: networks of equal cost come out equal, not in an
    /// order that rounding errors make. Throws Error for a code that is not of the space.
    double predict(const Code& code) const {
        space_.check(code);
        const auto left = detail::executed(space_, code, execution_);
        if (!left.runs) return stopped_;
        const auto row = features(left.code);
        double total = offset_;
        for (std::size_t j = 0; j < row.size(); ++j) total += row[j] * coefficients_[static_cast<Eigen::Index>(j)];
        if (total <= 0) return 0;
        const double digit = std::pow(10.0, std::floor(std::log10(total)) - 5);
        return std::round(total / digit) * digit;
    }
    /// Milliseconds of many networks, one per code.
    std::vector<double> predict(const std::vector<Code>& codes) const {
        std::vector<double> times;
        for (const auto& code : codes) times.push_back(predict(code));
        return times;
    }
    /// Agreement of predictions with the measured times of other samples.
    LatencyValidation validate(const CodedSamples& samples) const {
        return validate_latency(predict(samples.codes), samples.ms);
    }
    /// Which operations the runtime executes, as given to fit() or found by it.
    Execution execution() const { return execution_; }
    /// Mean absolute error of held-out samples, ms, for each of space().executions; empty where none was chosen.
    const std::vector<double>& execution_errors() const { return tried_; }
    /// The space whose codes it predicts.
    const CodedSpace& space() const { return space_; }
    /// Number of networks it was fitted to.
    std::size_t samples() const { return samples_; }
    /// How far costs differ, over the variance of errors: one strength per level, and one for the work where it is
    /// known; 0: that level says nothing.
    const std::vector<double>& strengths() const { return strengths_; }

private:
    CodedLatencyModel(const CodedSpace& space, const CodedSamples& samples, Execution execution,
                      const CodedFitOptions& options, const std::vector<double>& strengths)
        : space_(space), execution_(execution), samples_(samples.size()) {
        std::vector<std::vector<double>> rows;
        std::vector<double> times;
        double inverse = 0, squares = 0;
        for (std::size_t i = 0; i < samples.size(); ++i) {
            const auto left = detail::executed(space_, samples.codes[i], execution_);
            const double ms = samples.ms[i];
            if (left.runs)
                rows.push_back(features(left.code)), times.push_back(ms);
            else if (ms > 0)
                inverse += 1 / ms, squares += 1 / (ms * ms);
        }
        // The constant of least squared relative error; nothing where no such network was measured.
        stopped_ = squares > 0 ? inverse / squares : 0;
        if (rows.empty()) return;
        auto middle = times;
        std::nth_element(middle.begin(), middle.begin() + static_cast<std::ptrdiff_t>(middle.size() / 2), middle.end());
        offset_ = middle[middle.size() / 2];
        const auto n = static_cast<Eigen::Index>(rows.size()), p = static_cast<Eigen::Index>(rows[0].size());
        Eigen::MatrixXd x(n, p);
        Eigen::VectorXd y(n);
        for (Eigen::Index i = 0; i < n; ++i) {
            x.row(i) = Eigen::Map<const Eigen::RowVectorXd>(rows[static_cast<std::size_t>(i)].data(), p);
            y[i] = times[static_cast<std::size_t>(i)] - offset_;
        }
        const detail::GroupedRidge ridge(std::move(x), std::move(y), groups(),
                                         {.degrees_of_freedom = options.degrees_of_freedom, .strengths = strengths});
        coefficients_ = ridge.coefficients();
        strengths_ = ridge.strengths();
    }
    /// Columns: 1; of every level, class and option how often it is chosen; sums of work.
    std::vector<double> features(const Code& code) const {
        std::vector<double> row{1.0};
        for (const auto& level : space_.levels) {
            const std::size_t begin = row.size(),
                              classes = 1 + static_cast<std::size_t>(*std::max_element(level.begin(), level.end()));
            row.resize(begin + classes * static_cast<std::size_t>(space_.options), 0.0);
            for (std::size_t i = 0; i < code.size(); ++i)
                row[begin + static_cast<std::size_t>(level[i] * space_.options + code[i])] += 1;
        }
        const std::size_t begin = row.size();
        for (std::size_t i = 0; i < space_.work.size(); ++i) {
            const auto& work = space_.work[i][static_cast<std::size_t>(code[i])];
            row.resize(begin + work.size(), 0.0);
            for (std::size_t q = 0; q < work.size(); ++q) row[begin + q] += work[q];
        }
        return row;
    }
    std::vector<int> groups() const {
        std::vector<int> group{-1};
        int g = 0;
        for (const auto& level : space_.levels)
            group.insert(group.end(),
                         static_cast<std::size_t>((1 + *std::max_element(level.begin(), level.end())) * space_.options),
                         g++);
        if (!space_.work.empty()) group.insert(group.end(), space_.work[0][0].size(), g);
        return group;
    }
    /// |error| of every sample, predicted from the folds it is not in, strengths as found from all.
    std::vector<double> held_out_errors(const CodedSamples& samples, const CodedFitOptions& options) const {
        const auto order = random_order(samples.size(), Seed{});
        const auto folds = std::min(samples.size(), static_cast<std::size_t>(std::max(2, options.folds)));
        std::vector<double> errors(samples.size());
        for (std::size_t fold = 0; fold < folds; ++fold) {
            std::vector<std::size_t> in, out;
            for (std::size_t i = 0; i < order.size(); ++i) (i % folds == fold ? out : in).push_back(order[i]);
            const CodedLatencyModel model(space_, samples.pick(in), execution_, options, strengths_);
            for (const auto i : out) errors[i] = std::abs(model.predict(samples.codes[i]) - samples.ms[i]);
        }
        return errors;
    }
    /// Mean of a - b and its standard error.
    static std::pair<double, double> difference(const std::vector<double>& a, const std::vector<double>& b) {
        const double n = static_cast<double>(a.size());
        double mean = 0, squares = 0;
        for (std::size_t i = 0; i < a.size(); ++i) mean += (a[i] - b[i]) / n;
        for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i] - mean) * (a[i] - b[i] - mean);
        return {mean, std::sqrt(squares / (n * (n - 1)))};
    }

    CodedSpace space_;
    Execution execution_;
    std::size_t samples_;
    double offset_ = 0, stopped_ = 0;  ///< ms; of networks that run, and of those that do not
    Eigen::VectorXd coefficients_;
    std::vector<double> strengths_, tried_;
};

}  // namespace hwnas
