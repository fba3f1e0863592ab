// What the image needs besides the headers: an entry with a stack, and the four functions that compilers call by
// themselves.

#include <cstddef>

extern "C" {

alignas(16) char stack[0x4000];

// The first byte of the image. It is entered in 64-bit mode with everything else as after reset.
[[gnu::section(".start"), gnu::naked, noreturn]] void start() {
  asm volatile(
      "lea stack+0x4000(%rip), %rsp\n"
      "call run\n"
      "ud2");
}

void* memcpy(void* to, void const* from, std::size_t size) {
  void* at = to;
  asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size)::"memory");
  return to;
}

void* memmove(void* to, void const* from, std::size_t size) {
  auto* target = static_cast<char*>(to);
  auto const* source = static_cast<char const*>(from);
  if (target <= source || target >= source + size) return memcpy(to, from, size);
  target += size - 1;
  source += size - 1;
  asm volatile("std; rep movsb; cld" : "+D"(target), "+S"(source), "+c"(size)::"memory");
  return to;
}

void* memset(void* to, int value, std::size_t size) {
  void* at = to;
  asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
  return to;
}

int memcmp(void const* a, void const* b, std::size_t size) {
  auto const* left = static_cast<unsigned char const*>(a);
  auto const* right = static_cast<unsigned char const*>(b);
  for (std::size_t i = 0; i < size; ++i)
    if (left[i] != right[i]) return left[i] - right[i];
  return 0;
}
}
