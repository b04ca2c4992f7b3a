#pragma once

#include <hwnas/hypernet/hypernet.hpp>
#include "hwnas/supernet/network.hpp"
