#pragma once

#include "hwnas/tensor/tensor.hpp"
#include "hwnas/latency/profiler.hpp"
