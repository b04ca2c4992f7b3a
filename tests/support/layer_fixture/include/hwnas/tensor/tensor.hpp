#pragma once

#include <vector>
#include "hwnas/core/absent.hpp"
#include "hwnas/core/shape.hpp"
