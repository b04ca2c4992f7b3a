#pragma once

#include <Eigen/Core>
#include <fmt/core.h>
