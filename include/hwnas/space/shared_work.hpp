// SPDX-License-Identifier: MIT
// SharedWork: what primitives compute from their input alone, before any parameter, is the same on every edge that
// leaves a vertex; while a relaxed cell runs it is computed once.
#pragma once

#include <hwnas/autodiff/variable.hpp>

#include <string>
#include <vector>

namespace hwnas {

/// A scope: while it stands, what several edges compute alike from one value is computed once on this thread.
template <class T>
class SharedWork {
public:
    SharedWork() : previous_(std::exchange(active(), this)) {}
    ~SharedWork() { active() = previous_; }
    SharedWork(const SharedWork&) = delete;
    SharedWork& operator=(const SharedWork&) = delete;

    /// f(), or what it gave when it was last asked for on this x under this name; with no SharedWork standing on the
    /// calling thread always f().
    template <class F>
    static Variable<T> once(const std::string& name, const Variable<T>& x, F&& f) {
        if (!active()) return f();
        for (const auto& entry : active()->entries_)
            if (entry.name == name && entry.x.value().storage() == x.value().storage() && entry.x.node() == x.node() &&
                entry.x.value().data() == x.value().data() && entry.x.shape() == x.shape())
                return entry.y;
        active()->entries_.push_back({name, x, f()});
        return active()->entries_.back().y;
    }

    /// Whether a SharedWork stands on the calling thread.
    static bool stands() { return active() != nullptr; }

private:
    struct Entry {
        std::string name;
        Variable<T> x, y;  // x is kept: its address must not be given to another
    };
    static SharedWork*& active() {
        thread_local SharedWork* scope = nullptr;
        return scope;
    }
    SharedWork* previous_;
    std::vector<Entry> entries_;
};

/// SharedWork::once() with T deduced.
template <class T, class F>
Variable<T> once(const std::string& name, const Variable<T>& x, F&& f) {
    return SharedWork<T>::once(name, x, std::forward<F>(f));
}

}  // namespace hwnas
