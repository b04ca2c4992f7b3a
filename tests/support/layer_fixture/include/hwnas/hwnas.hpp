#pragma once

#include "hwnas/train/fit.hpp"
#include "hwnas/io/table.hpp"
#include <vector>
