// SPDX-License-Identifier: MIT
// Least squares with few samples: ridge regression whose columns stand in groups, one strength a group, found by the
// marginal likelihood of the samples, with weights that let measurements gone wrong count for little. With groups from
// coarse to fine ("any convolution", "a convolution on this edge") it is a hierarchical prior: what the samples cannot
// tell apart is taken to cost the same.
#pragma once

#include <hwnas/core/error.hpp>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <vector>

namespace hwnas::detail {

struct GroupedRidgeOptions {
    /// Errors follow Student's t with these degrees of freedom: an outlier weighs less the further off it is. 0:
    /// normal.
    double degrees_of_freedom = 4;
    int iterations = 6;                  ///< of reweighting
    std::vector<double> strengths = {};  ///< of the groups, instead of finding them
};

/// y = offset + x b + error, b_j ~ normal(0, strength[group[j]] variance of the error); group -1 is free.
class GroupedRidge {
public:
    GroupedRidge(Eigen::MatrixXd x, Eigen::VectorXd y, std::vector<int> group, const GroupedRidgeOptions& options = {})
        : x_(std::move(x)), y_(std::move(y)), group_(std::move(group)) {
        require(x_.rows() >= 1 && x_.rows() == y_.size() && x_.cols() == static_cast<Eigen::Index>(group_.size()),
                "grouped ridge: {} x {} features, {} values, {} groups of columns", x_.rows(), x_.cols(), y_.size(),
                group_.size());
        groups_ = 1 + std::max(-1, *std::max_element(group_.begin(), group_.end()));
        fit(options);
    }
    const Eigen::VectorXd& coefficients() const { return coefficients_; }
    /// Prior variance over error variance, one a group; 0: the group is left out.
    const std::vector<double>& strengths() const { return strengths_; }

private:
    static constexpr double free_strength = 1e8;

    double strength(std::size_t column, const std::vector<double>& strengths) const {
        return group_[column] < 0 ? free_strength : strengths[static_cast<std::size_t>(group_[column])];
    }
    /// What does not change while strengths are tried: normal equations, or, with fewer samples than columns, the
    /// samples' covariances by group.
    void prepare(const Eigen::VectorXd& weights) {
        const Eigen::VectorXd root = weights.cwiseSqrt();
        scaled_ = root.asDiagonal() * x_;
        target_ = root.cwiseProduct(y_);
        squares_ = target_.squaredNorm();
        dual_ = x_.rows() < x_.cols();
        if (!dual_) {
            gram_.noalias() = scaled_.transpose() * scaled_;
            moment_.noalias() = scaled_.transpose() * target_;
            return;
        }
        kernels_.assign(static_cast<std::size_t>(groups_ + 1), Eigen::MatrixXd::Zero(x_.rows(), x_.rows()));
        for (Eigen::Index j = 0; j < x_.cols(); ++j)
            kernels_[static_cast<std::size_t>(group_[static_cast<std::size_t>(j)] + 1)].noalias() +=
                scaled_.col(j) * scaled_.col(j).transpose();
    }
    /// Log marginal likelihood, the error's variance integrated out by its maximum; coefficients on request.
    double evidence(const std::vector<double>& strengths, Eigen::VectorXd* coefficients = nullptr) const {
        const Eigen::Index n = x_.rows(), p = x_.cols();
        Eigen::VectorXd root(p);
        for (Eigen::Index j = 0; j < p; ++j) root[j] = std::sqrt(strength(static_cast<std::size_t>(j), strengths));
        Eigen::MatrixXd m;
        if (dual_) {
            m = free_strength * kernels_[0];
            for (int g = 0; g < groups_; ++g)
                m += strengths[static_cast<std::size_t>(g)] * kernels_[static_cast<std::size_t>(g + 1)];
        } else {
            m = root.asDiagonal() * gram_ * root.asDiagonal();
        }
        m.diagonal().array() += 1;
        const Eigen::LLT<Eigen::MatrixXd> factor(m);
        const Eigen::VectorXd right = dual_ ? target_ : Eigen::VectorXd(root.cwiseProduct(moment_));
        const Eigen::VectorXd solved = factor.solve(right);
        const double fitted = right.dot(solved), rest = dual_ ? fitted : squares_ - fitted;
        if (coefficients) {
            const Eigen::VectorXd back =
                dual_ ? Eigen::VectorXd(root.cwiseProduct(scaled_.transpose() * solved)) : solved;
            *coefficients = root.cwiseProduct(back);
        }
        const double determinant = factor.matrixLLT().diagonal().array().log().sum();
        return -0.5 * static_cast<double>(n) * std::log(std::max(rest, 1e-14 * squares_)) - determinant;
    }
    /// Coordinate ascent on a grid of powers of ten.
    void find_strengths(bool anywhere) {
        double best = evidence(strengths_);
        for (int sweep = 0; sweep < 3; ++sweep) {
            bool moved = false;
            for (auto& strength : strengths_) {
                const double now = strength;
                std::vector<double> tries{0.0};
                if (anywhere || now == 0)
                    for (int e = -6; e <= 6; ++e) tries.push_back(std::pow(10.0, e));
                else
                    tries.insert(tries.end(), {now / 10, now * 10});
                double found = now;
                for (const double value : tries) {
                    strength = value;
                    if (const double e = evidence(strengths_); e > best + 1e-6) best = e, found = value;
                }
                strength = found;
                moved |= found != now;
            }
            if (!moved) return;
        }
    }
    void fit(const GroupedRidgeOptions& options) {
        const Eigen::Index n = x_.rows();
        const bool given = !options.strengths.empty();
        strengths_ = given ? options.strengths : std::vector<double>(static_cast<std::size_t>(groups_), 1.0);
        coefficients_ = Eigen::VectorXd::Zero(x_.cols());
        if (y_.squaredNorm() == 0) return;
        const double smallest = 1e-14 * y_.squaredNorm() / static_cast<double>(n);  // of a variance
        Eigen::VectorXd weights = Eigen::VectorXd::Ones(n);
        double variance = 0;
        const double nu = options.degrees_of_freedom;
        for (int i = 0; i < options.iterations; ++i) {
            prepare(weights);
            if (!given) find_strengths(i == 0);
            evidence(strengths_, &coefficients_);
            if (nu <= 0) return;
            const Eigen::VectorXd errors = y_ - x_ * coefficients_;
            if (i == 0) {
                std::vector<double> sizes(errors.data(), errors.data() + n);
                for (auto& e : sizes) e = std::abs(e);
                std::nth_element(sizes.begin(), sizes.begin() + n / 2, sizes.end());
                const double spread = 1.4826 * sizes[static_cast<std::size_t>(n / 2)];  // of a normal distribution
                variance = std::max(spread * spread, smallest);
            }
            weights = (nu + 1) / (nu + errors.array().square() / variance);
            variance = std::max(weights.cwiseProduct(errors.cwiseAbs2()).sum() / static_cast<double>(n), smallest);
        }
    }

    Eigen::MatrixXd x_, scaled_, gram_;
    Eigen::VectorXd y_, target_, moment_, coefficients_;
    std::vector<int> group_;
    std::vector<double> strengths_;
    std::vector<Eigen::MatrixXd> kernels_;
    int groups_ = 0;
    bool dual_ = false;
    double squares_ = 0;
};

}  // namespace hwnas::detail
