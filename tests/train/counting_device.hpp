// SPDX-License-Identifier: MIT
// A device that computes on the CPU, is none to its users, and counts how often it is read.
#pragma once

#include "support/random_tensor.hpp"

namespace hwnas::testing {

class CountingBackend final : public Backend {
public:
    std::string name() const override { return "counting"; }
    std::string description() const override { return "counts downloads"; }
    void* allocate(std::size_t bytes) override { return inner().allocate(bytes); }
    void release(void* pointer, std::size_t bytes) noexcept override { inner().release(pointer, bytes); }
    void upload(void* to, const void* from, std::size_t bytes) override { inner().upload(to, from, bytes); }
    void download(void* to, const void* from, std::size_t bytes) override {
        ++reads;
        inner().download(to, from, bytes);
    }
    void run(const Call& call, const Guard& guard) override { inner().run(call, guard); }

    int reads = 0;

private:
    Backend& inner() const { return device_.backend(); }
    Device device_ = test_device(1);
};

}  // namespace hwnas::testing
