// SPDX-License-Identifier: MIT
// The study of a finished search: jobs, each with one JSON result, that can be stopped at any time and gone on with.
#pragma once

#include "searched.hpp"

#include <hwnas/latency/agreement.hpp>

#include <functional>

namespace app {

/// How much of everything; the quick one is for tests.
struct StudyScale {
    int latency_networks = 50;  ///< random networks, and as many random S
    int budgets = 20;           ///< from the 5th to the 95th percentile of predicted latency
    int population = 1'000;     ///< random networks these percentiles are of
    int rivals = 200;           ///< random networks within each budget
    int candidates = 48;        ///< that the family scores for each
    std::vector<std::int64_t> sizes = {26'000, 59'000, 164'000};  ///< parameters in total
    int seeds = 3, epochs = 24;                                   ///< of networks that are retrained
    int front = 8, randoms = 12;                                  ///< networks for the rank correlation
    int short_epochs = 10;                                        ///< of those, and of the parts of the recipe
    int searches = 3, tries = 2;  ///< single-budget searches, and latency weights each may try
};
StudyScale quick_scale();

struct StudyJob {
    std::string name;                ///< "budget/05"
    std::vector<std::string> needs;  ///< jobs that come before
    double minutes = 0;              ///< about, on two cores
    std::function<hwnas::io::Json()> run;
};

/// Thrown out of a job that Ctrl-C stopped: it leaves no result. One that trains goes on from its checkpoint, one that
/// scores keeps its scores, another starts over.
struct StudyInterrupted {};
/// Thrown out of a job that this machine cannot do: it stays open.
struct StudyElsewhere {
    std::string why;
};

/// The jobs and what they share. Choosing uses one half of the held-out images and judging the other. A network that is
/// retrained is tested once, at its end; what that found is sealed until all are trained, and chooses nothing.
class Study {
public:
    /// search_seconds: what the search itself took.
    Study(Searched searched, double search_seconds, fs::path directory, StudyScale scale, bool quick_timing,
          bool quiet);
    const std::vector<StudyJob>& jobs() const { return jobs_; }
    bool done(const std::string& job) const;
    hwnas::io::Json result(const std::string& job) const;
    fs::path result_file(const std::string& job) const;
    /// Where the test accuracy of a retrained network waits for the last job.
    fs::path sealed_file(const std::string& job) const;
    /// Where a job keeps a training that goes on.
    fs::path unfinished_file(const std::string& job) const;
    /// Runs one job and writes its result; its needs must be done.
    void run(const StudyJob& job);
    /// What all results so far say, and the same as text.
    hwnas::io::Json summary() const;
    std::string table() const;

private:
    using Json = hwnas::io::Json;
    void add(std::string name, std::vector<std::string> needs, double minutes, std::function<Json()> run);
    void add_training(const std::string& name, std::vector<std::string> needs, double minutes,
                      std::function<hwnas::Genotype()> genotype,
                      std::function<std::int64_t(const hwnas::Genotype&)> channels, const std::string& recipe,
                      int epochs, int seed);
    hwnas::Genotype random_genotype(int number) const;
    hwnas::FamilyMember member(const hwnas::Genotype& genotype) const;
    double score(const hwnas::Genotype& genotype, const hwnas::Dataset& data);
    /// The widest network of a genotype with at most so many parameters.
    std::int64_t channels_for(const hwnas::Genotype& genotype, std::int64_t parameters) const;
    hwnas::FitOptions recipe(const std::string& name, int epochs, int seed) const;
    Json latency_job();
    Json budget_job(double percentile);
    Json front_job();
    Json choice_job();
    Json train_job(const hwnas::Genotype& genotype, std::int64_t channels, const std::string& recipe, int epochs,
                   int seed, const std::string& name);
    Json search_job(int number);
    Json test_job();
    double budget_at(double percentile) const;
    std::optional<hwnas::Device> local() const;
    hwnas::MeasureOptions timing() const;
    /// Tells slow moments of the machine, all through the study.
    hwnas::SpeedReference& speed(const hwnas::Device& device);

    Searched searched_;
    double search_seconds_;
    fs::path directory_;
    StudyScale scale_;
    bool quick_timing_, quiet_;
    hwnas::Dataset choose_, judge_;
    std::vector<StudyJob> jobs_;
    std::optional<hwnas::SpeedReference> speed_;
    std::vector<std::string> trainings_;  ///< jobs whose networks the test images are for
};

/// The rows of a data set that are even, or odd, within their class: two halves with as many of every class.
hwnas::Dataset half(const hwnas::Dataset& data, int parity);

}  // namespace app
