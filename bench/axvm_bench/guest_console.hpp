#pragma once

// The console of a guest's process 1, by which whoever measures tells it when to begin.
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

/// Bytes arrive as they are and at once; lines leave at once.
inline void prepare_console() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  termios console{};
  if (tcgetattr(STDIN_FILENO, &console) == 0) {
    cfmakeraw(&console);
    tcsetattr(STDIN_FILENO, TCSANOW, &console);
  }
}

inline void wait_for_a_byte() {
  char byte = 0;
  if (read(STDIN_FILENO, &byte, 1) != 1) std::abort();  // the kernel panics, and says so
}
