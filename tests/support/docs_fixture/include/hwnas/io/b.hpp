#pragma once
namespace hwnas::io { inline int lucky() { return 4; } }
