#pragma once

#include "hwnas/supernet/network.hpp"
#include <hwnas/hypernet/hypernet.hpp>
