#pragma once

#include <fmt/core.h>
#include <Eigen/Core>
