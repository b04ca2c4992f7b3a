#pragma once

#include "hwnas/latency/profiler.hpp"
#include <nlohmann/json.hpp>
#include "hwnas/io/table.hpp"
#include "neighbour.hpp"
