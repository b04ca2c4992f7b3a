// A head that the README leaves out.
#include "short_run.hpp"

#include <cstdio>

int main() try {
    const int epochs = example::epochs((2) * 10);  // longer than it looks
    std::printf("%d\n", epochs);
} catch (...) {
}
