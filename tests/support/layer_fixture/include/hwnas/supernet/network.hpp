#pragma once

#include "hwnas/latency/profiler.hpp"
#include "hwnas/tensor/tensor.hpp"
