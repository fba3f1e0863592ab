#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include <axvm/device/register_page.hpp>
#include <axvm/virtio/mmio_registers.hpp>

namespace axvm::inline v1::virtio {

/// The window of a device on MMIO as a guest reads it without the device, if the hypervisor can do that. `word_at`
/// gives what the four bytes at a multiple of 4 read as; without a page nothing is ever asked of it.
class MmioPage {
 public:
  /// Bytes of registers and configuration space.
  static constexpr std::uint64_t size = 0x1000;

  constexpr explicit MmioPage(RegisterPage page) : page_(page) {}

  /// The control registers that change; most of the time they have not.
  template <class WordAt>
  void show_registers(WordAt const& word_at) const {
    if (!page_) return;
    for (const MmioRegister which :
         {MmioRegister::DeviceFeatures, MmioRegister::QueueNumMax, MmioRegister::QueueReady,
          MmioRegister::InterruptStatus, MmioRegister::Status, MmioRegister::ConfigGeneration})
      show(static_cast<std::uint64_t>(which), word_at);
  }
  /// Everything, word by word: for what a driver does not take for one value.
  template <class WordAt>
  [[gnu::cold]] void show_all(std::uint64_t end, WordAt const& word_at) const {
    if (!page_) return;
    for (std::uint64_t offset = 0; offset < end && offset < size; offset += 4) show(offset, word_at);
  }
  /// Everything at one stroke.
  template <class WordAt>
  [[gnu::cold]] void swap_all(std::uint64_t end, WordAt const& word_at) const {
    if (!page_) return;
    std::array<std::uint32_t, size / 4> words;
    std::size_t count = 0;
    for (std::uint64_t offset = 0; offset < end && offset < size; offset += 4) words[count++] = word_at(offset);
    page_.swap(std::as_bytes(std::span(words).first(count)));
  }

 private:
  template <class WordAt>
  void show(std::uint64_t offset, WordAt const& word_at) const {
    if (const std::uint32_t word = word_at(offset); page_.load(offset) != word) page_.store(offset, word);
  }

  RegisterPage page_;
};

}  // namespace axvm::inline v1::virtio
