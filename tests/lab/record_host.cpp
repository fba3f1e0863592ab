// Prints this machine as tests/unit/hosts/*.txt have others: CPUID, and the registers and files that detection asks
// for.

#include <cstdio>

#include "../unit/recorded_processor.hpp"

int main() {
  std::fputs(record_host(axvm::this_host).c_str(), stdout);
  return std::fflush(stdout) == 0 ? 0 : 1;
}
