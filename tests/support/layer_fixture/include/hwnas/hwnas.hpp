#pragma once

#include <vector>
#include "hwnas/io/table.hpp"
#include "hwnas/train/fit.hpp"
