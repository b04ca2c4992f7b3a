#pragma once

#include "hwnas/supernet/network.hpp"
