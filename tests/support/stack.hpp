// SPDX-License-Identifier: MIT
// Stacks of their own for the emulator's threads, and the change from one to another: a dozen instructions on x86-64,
// ucontext elsewhere.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include <sys/mman.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace hwnas::emulator {

/// A stack on which something runs, and what it takes to leave and to re-enter it.
class Stack {
public:
    explicit Stack(std::size_t bytes) : bytes_(bytes) {
        memory_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory_ == MAP_FAILED) throw std::bad_alloc();
    }
    ~Stack() { munmap(memory_, bytes_); }
    Stack(const Stack&) = delete;
    Stack& operator=(const Stack&) = delete;
    char* begin() const { return static_cast<char*>(memory_); }
    std::size_t bytes() const { return bytes_; }

private:
    void* memory_;
    std::size_t bytes_;
};

#if defined(__x86_64__)
using Resume = void*;
/// Leaves the running stack, noting where in `from`, for the one that `to` notes.
__attribute__((naked, noinline)) inline void change_stack(Resume*, Resume) {
    asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret");
}
inline Resume prepare_stack(const Stack& stack, void (*entry)()) {
    void** top = reinterpret_cast<void**>(stack.begin() + stack.bytes()) - 3;
    top[0] = nullptr;  // entry() never returns; the stack is aligned as behind a call
    top[-1] = reinterpret_cast<void*>(entry);
    for (int i = 2; i <= 7; ++i) top[-i] = nullptr;
    return top - 7;
}
#else
using Resume = std::shared_ptr<ucontext_t>;
inline void change_stack(Resume* from, const Resume& to) {
    if (!*from) *from = std::make_shared<ucontext_t>();
    swapcontext(from->get(), to.get());
}
inline Resume prepare_stack(const Stack& stack, void (*entry)()) {
    auto context = std::make_shared<ucontext_t>();
    getcontext(context.get());
    context->uc_stack.ss_sp = stack.begin();
    context->uc_stack.ss_size = stack.bytes();
    context->uc_link = nullptr;
    makecontext(context.get(), entry, 0);
    return context;
}
#endif

}  // namespace hwnas::emulator
