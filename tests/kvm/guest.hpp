#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>
#include <vector>

#include <axvm/axvm.hpp>

/// Set by a test that this KVM cannot run, to the reason.
extern char const* skipped;

/// Writes tiny 64-bit guests. Each function appends one instruction sequence.
class Guest {
 public:
  std::vector<std::uint8_t> code;

  Guest& bytes(std::initializer_list<std::uint8_t> more) {
    code.insert(code.end(), more);
    return *this;
  }
  Guest& imm32(std::uint32_t value) {
    for (unsigned i = 0; i < 4; ++i) code.push_back(static_cast<std::uint8_t>(value >> 8 * i));
    return *this;
  }
  Guest& imm64(std::uint64_t value) {
    return imm32(static_cast<std::uint32_t>(value)).imm32(static_cast<std::uint32_t>(value >> 32));
  }

  Guest& rax(std::uint64_t value) { return bytes({0x48, 0xb8}).imm64(value); }
  Guest& rsi(std::uint64_t value) { return bytes({0x48, 0xbe}).imm64(value); }
  Guest& rdi(std::uint64_t value) { return bytes({0x48, 0xbf}).imm64(value); }
  Guest& ecx(std::uint32_t value) { return bytes({0xb9}).imm32(value); }
  Guest& dx(std::uint16_t port) {
    return bytes({0x66, 0xba, static_cast<std::uint8_t>(port), static_cast<std::uint8_t>(port >> 8)});
  }
  Guest& out8() { return bytes({0xee}); }
  Guest& out16() { return bytes({0x66, 0xef}); }
  Guest& out32() { return bytes({0xef}); }
  Guest& in8() { return bytes({0xec}); }
  Guest& in16() { return bytes({0x66, 0xed}); }
  Guest& in32() { return bytes({0xed}); }
  Guest& rep_outsb() { return bytes({0xf3, 0x6e}); }  // rcx bytes from [rsi] to port dx
  Guest& rep_insb() { return bytes({0xf3, 0x6c}); }   // rcx bytes from port dx to [rdi]
  Guest& store8() { return bytes({0x88, 0x07}); }     // mov [rdi], al
  Guest& store16() { return bytes({0x66, 0x89, 0x07}); }
  Guest& store32() { return bytes({0x89, 0x07}); }
  Guest& store64() { return bytes({0x48, 0x89, 0x07}); }
  Guest& load8() { return bytes({0x8a, 0x06}); }  // mov al, [rsi]
  Guest& load16() { return bytes({0x66, 0x8b, 0x06}); }
  Guest& load32() { return bytes({0x8b, 0x06}); }
  Guest& load64() { return bytes({0x48, 0x8b, 0x06}); }
  Guest& hlt() { return bytes({0xf4}); }
  Guest& spin() { return bytes({0xeb, 0xfe}); }  // jmp to itself
};

/// A machine with a guest in it, ready to run.
template <class M>
M load_guest(Guest const& guest, typename M::Config const& config = {.memory = 2 * axvm::MiB}) {
  auto machine = M::create(config);
  REQUIRE_MESSAGE(machine, axvm::describe(machine ? axvm::Error{} : machine.error()));
  auto loaded = machine->load([code = guest.code](axvm::boot::Context const& context) {
    return axvm::boot::load_flat({.code = std::as_bytes(std::span(code))}, context);
  });
  REQUIRE_MESSAGE(loaded, axvm::describe(loaded ? axvm::Error{} : loaded.error()));
  return std::move(*machine);
}
