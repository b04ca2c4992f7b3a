// SPDX-License-Identifier: MIT
// operator new that counts.
#include "fuzz.hpp"

#include <algorithm>
#include <new>

#include <malloc.h>

namespace {
std::size_t live = 0, most = 0, at_reset = 0;
}

std::size_t fuzz::peak() {
    return most - std::min(most, at_reset);
}
void fuzz::reset_peak() {
    most = at_reset = live;
}

void* operator new(std::size_t size) {
    void* const memory = std::malloc(size > 0 ? size : 1);
    if (!memory) throw std::bad_alloc();
    live += ::malloc_usable_size(memory);
    most = std::max(most, live);
    return memory;
}
void* operator new[](std::size_t size) {
    return operator new(size);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    try {
        return operator new(size);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void* operator new[](std::size_t size, const std::nothrow_t& none) noexcept {
    return operator new(size, none);
}
void operator delete(void* memory) noexcept {
    if (memory) live -= std::min(live, ::malloc_usable_size(memory));
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    operator delete(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    operator delete(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    operator delete(memory);
}
