#pragma once

#include <zlib.h>
#include <nlohmann/json.hpp>
#include "hwnas/train/fit.hpp"
