#pragma once

#include <nlohmann/json.hpp>
#include "hwnas/io/table.hpp"
#include "hwnas/latency/profiler.hpp"
#include "neighbour.hpp"
