// SPDX-License-Identifier: MIT
// A forward pass as exporters see it: recorded kernel calls, one after the other. What depends on the input is
// translated; the rest is run, for the constants it makes. Where a name is a place in reused memory, it means its
// latest writer.
#pragma once

#include <hwnas/autodiff/program.hpp>
#include <hwnas/supernet/network.hpp>

#include <array>
#include <optional>

namespace hwnas::io::detail {

/// A recorded forward pass in eval mode, and what it needs to live.
struct ForwardPass {
    std::shared_ptr<const Network> network;  ///< a copy of its own, unless the user's function was recorded
    Tensor<float> input, output;             ///< [batch, height, width, channels]; what forward made of it
    Program program;

    /// Calls forward(x), x a Variable [batch, height, width, channels], once.
    template <class F>
    static ForwardPass record(const Device& device, const ImageShape& image, std::int64_t batch, F&& forward) {
        ForwardPass pass;
        pass.input = Tensor<float>::full({batch, image.height, image.width, image.channels}, 0.0f, device);
        pass.program = Program::record(device,
                                       [&] {
                                           const NoGrad no_grad;
                                           pass.output = forward(Variable<float>(pass.input)).value();
                                       },
                                       {.tiled = false});
        return pass;
    }
    /// Of a network, with its batch norms folded into convolutions or as they are.
    static ForwardPass record(const Network& network, std::int64_t batch, bool fold) {
        Network copy = network.clone();
        if (fold) copy.fold();
        const auto owned = std::make_shared<const Network>(std::move(copy));
        auto pass = record(owned->device(), owned->space().options().image, batch,
                           [&](const Variable<float>& x) { return owned->forward(x, Phase::eval); });
        pass.network = owned;
        return pass;
    }
};

/// Walks over a pass. Exporter derives from it and has translate(S) for the contract structs it knows, refuse(text),
/// which throws, enter(kernel, label), called before each, and `format`, the name it goes by in messages. Value is what
/// it calls the result of a kernel. note(S), where it has one, hears of calls that are run.
template <class Exporter, class Value>
class Translator {
protected:
    using i64 = std::int64_t;
    using i32 = std::int32_t;

    explicit Translator(ForwardPass pass) : pass_(std::move(pass)), device_(pass_.input.device()) {}

    /// All calls, in their order.
    void translate_calls() {
        for (; entry_ < program().size(); ++entry_) {
            const Call& call = program().call(entry_);
            exporter().enter(call.name, program().label(entry_));
            bool done = false;
            contract::Calls<float>::for_each([&]<class S>() {
                if (call.is_double || call.index != contract::Calls<float>::index_of<S>()) return;
                S s;
                std::memcpy(&s, call.payload, sizeof s);
                visit(s);
                done = true;
            });
            if (!done) exporter().refuse("computes in double, the model is float");
        }
    }
    /// Runs the present call.
    void run_call() { program().run_entry(entry_); }

    // --- which value an address is ---------------------------------------------------------------------------------
    /// Whether what lies there depends on the input; all else is constant.
    bool live(const void* address) const { return holder(address) != spans_.end(); }
    Value value(const void* address) const {
        const auto span = holder(address);
        if (span == spans_.end())
            exporter().refuse(
                fmt::format("reads a constant where {} needs a value that depends on the input", Exporter::format));
        if (span->first != number(address) || !span->second.value)
            exporter().refuse(fmt::format("reads part of another value, which has no {} form", Exporter::format));
        return *span->second.value;
    }
    /// From here on these bytes are that value; without a value, what no translated kernel may read.
    void write(const void* address, i64 bytes, std::optional<Value> value) {
        if (address == nullptr) return;
        const std::uintptr_t begin = number(address), end = begin + static_cast<std::uintptr_t>(bytes);
        for (auto span = spans_.begin(); span != spans_.end();)  // their memory has been given again
            span = span->first < end && begin < span->second.end ? spans_.erase(span) : std::next(span);
        spans_.emplace(begin, Span{end, std::move(value)});
    }
    /// From here on a constant lies there.
    void forget(const void* address) {
        if (const auto span = holder(address); span != spans_.end()) spans_.erase(span);
    }
    std::vector<float> constant(const float* address, i64 n) const {
        if (live(address))
            exporter().refuse(
                fmt::format("takes a weight that depends on the input, which has no {} form", Exporter::format));
        std::vector<float> values(static_cast<std::size_t>(n));
        device_.backend().download(values.data(), address, values.size() * sizeof(float));
        return values;
    }
    const ForwardPass& pass() const { return pass_; }

private:
    struct Span {
        std::uintptr_t end;
        std::optional<Value> value;
    };
    /// Kernels that have no form of their own, but may make constants.
    template <class T>
    using Pure = contract::TypeList<contract::Fill<T>, contract::ColumnSum<T>, contract::MultiplyReduce<T>,
                                    contract::Broadcast<T>, contract::BatchNormFreeze<T>>;

    Exporter& exporter() { return static_cast<Exporter&>(*this); }
    const Exporter& exporter() const { return static_cast<const Exporter&>(*this); }
    const Program& program() const { return pass_.program; }
    static std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }
    auto holder(const void* address) const {
        auto span = spans_.upper_bound(number(address));
        if (span == spans_.begin()) return spans_.end();
        --span;
        return number(address) < span->second.end ? span : spans_.end();
    }
    /// A kernel that reads constants only is run now: its result is a constant for those that follow.
    template <class S>
    void visit(const S& s) {
        constexpr bool has_form = requires(Exporter e) { e.translate(s); };
        if constexpr (has_form || Pure<float>::index_of<S>() >= 0) {
            std::array<const void*, static_cast<std::size_t>(S::writes + S::reads)> pointers;
            std::memcpy(pointers.data(), &s, sizeof pointers);
            bool depends = std::any_of(pointers.begin() + S::writes, pointers.end(),
                                       [&](const void* p) { return p != nullptr && live(p); });
            if constexpr (requires { s.accumulate; }) depends |= s.accumulate != 0 && live(pointers[0]);
            if (!depends) {
                run_call();
                for (int i = 0; i < S::writes; ++i) forget(pointers[static_cast<std::size_t>(i)]);
                if constexpr (requires(Exporter e) { e.note(s); }) exporter().note(s);
                return;
            }
        }
        if constexpr (has_form)
            exporter().translate(s);
        else
            exporter().refuse(fmt::format("has no {} form", Exporter::format));
    }

    ForwardPass pass_;
    Device device_;
    std::size_t entry_ = 0;
    std::map<std::uintptr_t, Span> spans_;
};

}  // namespace hwnas::io::detail
