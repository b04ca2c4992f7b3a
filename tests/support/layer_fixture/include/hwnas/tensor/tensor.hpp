#pragma once

#include <vector>
#include "hwnas/core/shape.hpp"
#include "hwnas/core/absent.hpp"
