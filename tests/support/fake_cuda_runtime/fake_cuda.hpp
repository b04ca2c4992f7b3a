// SPDX-License-Identifier: MIT
// What a test asks of the fake CUDA runtime, and what it finds written down.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace fake_cuda {

/// A launch in a captured graph; argument: the address of the kernel's body.
struct Node {
    const void* kernel;
    const void* argument;
    std::size_t shared;
    std::vector<const Node*> after;
};
struct Graph {
    std::vector<std::unique_ptr<Node>> nodes;
};
/// Keeps a graph's nodes as they were when it was instantiated.
struct Executable {
    std::vector<std::unique_ptr<Node>> nodes;
    int device = 0;
};
struct Stream {
    int device = 0;
    std::unique_ptr<Graph> captured;
    std::vector<Node*> dependencies;
    bool loads = true;  ///< whether its capture allows a kernel to be loaded
};
struct Pool {
    std::uint64_t kept = 0;
};

struct Card {
    std::string name = "Fake GPU";
    int major = 9, minor = 0;
    bool has_code = true;            ///< whether the program has code that it can run
    bool has_pools = true;           ///< whether its driver has memory pools
    std::size_t memory = 1'000'000;  ///< bytes, free at first
};

/// Everything there is to see; reset() begins anew.
struct State {
    std::vector<Card> cards{1};
    int fail_at = -1;  ///< calls from now on until one fails; -1: none does
    cudaError_t error = cudaErrorLaunchFailure;
    std::string failed;               ///< the call that did
    std::vector<std::string> calls;   ///< all, in order
    std::vector<std::string> misuse;  ///< what no program may do
    std::set<Stream*> streams;        ///< those that live
    std::set<Graph*> graphs;
    std::set<Executable*> executables;
    std::map<void*, std::size_t> memory;
    std::map<int, Pool> pools;
    std::map<const void*, std::size_t> shared_limits;
    std::set<const void*> loaded;                           ///< kernels that have been launched
    std::vector<std::pair<Executable*, Stream*>> launched;  ///< graphs
    int eager = 0;                                          ///< kernels launched outside any capture
    std::size_t alive() const { return streams.size() + graphs.size() + executables.size() + memory.size(); }
};
State& state();
void reset();
/// The error that cudaGetLastError() would give, which stays.
cudaError_t last_error();
/// The thread's current device.
int& current_device();

}  // namespace fake_cuda
