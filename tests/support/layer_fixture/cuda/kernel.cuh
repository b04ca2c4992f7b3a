#pragma once

#include "hwnas/core/contract.hpp"
#include "hwnas/tensor/tensor.hpp"
