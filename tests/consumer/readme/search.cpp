// SPDX-License-Identifier: MIT
#include "../light.cpp"
