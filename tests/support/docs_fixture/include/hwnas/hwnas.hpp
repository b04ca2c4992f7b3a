#pragma once
#include <cstdio>
namespace hwnas { constexpr int two = 2; }
