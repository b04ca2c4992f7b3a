#pragma once

#include <nlohmann/json.hpp>
#include <zlib.h>
#include "hwnas/train/fit.hpp"
