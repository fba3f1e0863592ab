#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include <axvm/cpu/cpuid.hpp>
#include <axvm/host/detect.hpp>
#include <axvm/host/host_source.hpp>

/// A host as a text that a test can play: what CPUID, registers and files say, and where it is from. Lines are
///
///     # where it is from
///     cpuid LEAF SUBLEAF EAX EBX ECX EDX      in hexadecimal
///     msr INDEX VALUE                         in hexadecimal
///     file PATH TEXT                          one per line of the file
class RecordedProcessor {
 public:
  explicit RecordedProcessor(std::string const& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string kind, path, rest;
      words >> kind >> std::hex;
      if (kind == "#") {
        provenance += line.substr(std::min<std::size_t>(line.size(), 2)) + "\n";
      } else if (kind == "cpuid") {
        axvm::CpuidEntry entry;
        words >> entry.function >> entry.index >> entry.eax >> entry.ebx >> entry.ecx >> entry.edx;
        leaves[{entry.function, entry.index}] = entry;
      } else if (kind == "msr") {
        std::uint32_t index = 0;
        words >> index >> registers[index];
      } else if (kind == "file") {
        words >> path;
        std::getline(words >> std::ws, rest);
        files[path] += rest + "\n";
      } else if (!kind.empty()) {
        faults += line + "\n";
      }
      if (words.bad() || (words.fail() && kind != "file" && !kind.empty() && kind != "#")) faults += line + "\n";
    }
  }

  /// A recorded host from a file.
  [[nodiscard]] static RecordedProcessor load(std::string const& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return RecordedProcessor(text.str());
  }

  /// The recorded host as a source; it must outlive what asks it.
  [[nodiscard]] axvm::HostSource source() {
    return {.self = this,
            .cpuid = [](void* self, std::uint32_t leaf, std::uint32_t subleaf) -> axvm::CpuidEntry {
              auto& all = static_cast<RecordedProcessor*>(self)->leaves;
              const auto found = all.find({leaf, subleaf});
              return found != all.end() ? found->second : axvm::CpuidEntry{.function = leaf, .index = subleaf};
            },
            .msr = [](void* self, std::uint32_t index) -> std::optional<std::uint64_t> {
              auto& all = static_cast<RecordedProcessor*>(self)->registers;
              const auto found = all.find(index);
              return found != all.end() ? std::optional(found->second) : std::nullopt;
            },
            .file = [](void* self, char const* path) -> std::optional<std::string> {
              auto& all = static_cast<RecordedProcessor*>(self)->files;
              const auto found = all.find(path);
              return found != all.end() ? std::optional(found->second) : std::nullopt;
            }};
  }

  [[nodiscard]] axvm::HostFacts facts() { return axvm::detect_host(source()); }

  /// Its CPUID as a table, as a hypervisor reports what it supports.
  [[nodiscard]] axvm::CpuidTable cpuid() const {
    axvm::CpuidTable table;
    for (auto const& [key, entry] : leaves) {
      axvm::CpuidEntry added = entry;
      const auto next = leaves.upper_bound({key.first, 0});
      added.indexed = key.second != 0 || (next != leaves.end() && next->first.first == key.first);
      for (const std::uint32_t indexed : {4u, 7u, 0xbu, 0xdu})
        if (key.first == indexed) added.indexed = true;
      if (!table.add(added)) return {};
    }
    return table;
  }

  std::string provenance;
  std::string faults;  ///< lines that could not be read
  std::map<std::pair<std::uint32_t, std::uint32_t>, axvm::CpuidEntry> leaves;
  std::map<std::uint32_t, std::uint64_t> registers;
  std::map<std::string, std::string> files;
};

/// Records a host: all leaves of CPUID, and the registers and files that detection asks for. Of /proc/cpuinfo the
/// first processor.
inline std::string record_host(axvm::HostSource const& host) {
  struct Recorder {
    axvm::HostSource const& host;
    std::map<std::uint32_t, std::uint64_t> registers{};
    std::map<std::string, std::string> files{};
  } recorder{host};
  (void)axvm::detect_host({.self = &recorder,
                           .cpuid = [](void* self, std::uint32_t leaf, std::uint32_t subleaf) -> axvm::CpuidEntry {
                             auto const& from = static_cast<Recorder*>(self)->host;
                             return from.cpuid(from.self, leaf, subleaf);
                           },
                           .msr = [](void* self, std::uint32_t index) -> std::optional<std::uint64_t> {
                             auto& all = *static_cast<Recorder*>(self);
                             const auto value = all.host.msr(all.host.self, index);
                             if (value) all.registers[index] = *value;
                             return value;
                           },
                           .file = [](void* self, char const* path) -> std::optional<std::string> {
                             auto& all = *static_cast<Recorder*>(self);
                             const auto text = all.host.file(all.host.self, path);
                             if (text) all.files[path] = text->substr(0, text->find("\n\n"));
                             return text;
                           }});

  std::ostringstream out;
  out << std::hex;
  auto leaf = [&](std::uint32_t function, std::uint32_t index) {
    const axvm::CpuidEntry e = host.cpuid(host.self, function, index);
    if (index == 0 || (e.eax | e.ebx | e.ecx | e.edx) != 0)
      out << "cpuid " << function << ' ' << index << ' ' << e.eax << ' ' << e.ebx << ' ' << e.ecx << ' ' << e.edx
          << '\n';
  };
  auto subleaves = [](std::uint32_t function) -> std::uint32_t {
    switch (function) {
      case 4:
      case 0x8000'001d: return 5;
      case 7:
      case 0xb:
      case 0x1f: return 3;
      case 0xd: return 20;
      case 0xf:
      case 0x10:
      case 0x12:
      case 0x14:
      case 0x17:
      case 0x18: return 4;
      default: return 1;
    }
  };
  const bool guest = (host.cpuid(host.self, 1, 0).ecx & axvm::cpuid::ECX_HYPERVISOR) != 0;
  for (const std::uint32_t base : {0u, 0x4000'0000u, 0x8000'0000u}) {
    if (base == 0x4000'0000 && !guest) continue;
    // A hypervisor's leaf may leave its highest one at 0, which means the next one.
    const std::uint32_t highest = std::max(host.cpuid(host.self, base, 0).eax, base + (base == 0x4000'0000 ? 1 : 0));
    for (std::uint32_t function = base; function <= highest && function - base < 0x40; ++function)
      for (std::uint32_t index = 0; index < subleaves(function); ++index) leaf(function, index);
  }
  for (auto const& [index, value] : recorder.registers) out << "msr " << index << ' ' << value << '\n';
  for (auto const& [path, text] : recorder.files) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) out << "file " << path << ' ' << line << '\n';
  }
  return out.str();
}
