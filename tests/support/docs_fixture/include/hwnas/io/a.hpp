#pragma once
#include <hwnas/io/b.hpp>
namespace hwnas::io { inline int a() { return 1; } }
