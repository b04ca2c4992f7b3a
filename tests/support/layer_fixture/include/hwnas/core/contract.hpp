#pragma once

#include <cstdint>
#include "hwnas/core/shape.hpp"
