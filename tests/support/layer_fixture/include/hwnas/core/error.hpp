#pragma once

#include <fmt/format.h>
#include "hwnas/tensor/tensor.hpp"
