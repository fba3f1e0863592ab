#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/core/cpu_set.hpp>
#include <axvm/core/placement_plan.hpp>
#include <axvm/core/result.hpp>
#include <axvm/core/setting_text.hpp>

namespace axvm::inline v1 {

/// How vCPU threads are tied to host CPUs: `--pin auto|none|LIST`.
struct PinOption {
  enum class Kind : std::uint8_t {
    Auto,  ///< as planned
    None,  ///< wherever the kernel puts them
    List,  ///< vCPU n on the n-th CPU of `cpus`; I/O threads on those that are left, if any
  };
  Kind kind = Kind::Auto;
  std::vector<unsigned> cpus{};  ///< of List: host CPUs, no two equal, in the user's order

  /// Reads `auto`, `none`, or a list such as `0-3,8`. Errors name what is wrong with which part.
  [[nodiscard]] static Result<PinOption> parse(std::string_view text);
  friend bool operator==(PinOption const&, PinOption const&) = default;
};

/// One guest node as a user asks for it: `NODE:MEM:CPUS`.
struct NumaNodeOption {
  unsigned host_node = 0;    ///< where its memory lies and its vCPUs run
  std::uint64_t memory = 0;  ///< bytes
  CpuSet vcpus{};            ///< the guest's processors that belong to it
  friend bool operator==(NumaNodeOption const&, NumaNodeOption const&) = default;
};

/// The guest's NUMA nodes: `--numa auto|off|NODE:MEM:CPUS,...`.
struct NumaOption {
  enum class Kind : std::uint8_t {
    Auto,   ///< as many as host nodes are used
    Off,    ///< none, and memory is not bound
    Nodes,  ///< those of `nodes`
  };
  Kind kind = Kind::Auto;
  std::vector<NumaNodeOption> nodes{};  ///< of Nodes: guest node 0 first; several may be on one host node

  /// Reads `auto`, `off`, or nodes such as `0:2G:0-3,8,1:2G:4-7`: a comma followed by something without a colon
  /// continues the list of vCPUs. Errors name what is wrong with which part.
  [[nodiscard]] static Result<NumaOption> parse(std::string_view text);
  friend bool operator==(NumaOption const&, NumaOption const&) = default;
};

namespace detail {

/// The same error, with what was being read in front of it.
inline std::unexpected<Error> in_option(std::string_view option, Error error) {
  error.operation = axvm::text<1023>("read ", option, ": ", error.operation);
  return std::unexpected(error);
}

/// "1048576" as "1M": the largest unit that leaves no rest.
inline std::string size_option(std::uint64_t bytes) {
  unsigned unit = 0;
  for (; unit < 4 && bytes != 0 && bytes % 1024 == 0; ++unit) bytes /= 1024;
  std::string text = std::to_string(bytes);
  if (unit != 0) text += "KMGT"[unit - 1];
  return text;
}

inline Result<NumaNodeOption> parse_numa_node(std::string_view text) {
  NumaNodeOption node;
  const std::size_t first = text.find(':'), second = text.find(':', first + 1);
  auto bad = [text](std::string_view what, std::string_view hint) {
    return failure(ErrorCode::InvalidArgument, axvm::text<1023>("'", text.substr(0, 200), "' ", what), hint);
  };
  if (first == text.npos || second == text.npos || text.find(':', second + 1) != text.npos)
    return bad("is not NODE:MEM:CPUS", "write for example 0:2G:0-3");
  std::string_view number = text.substr(0, first), size = text.substr(first + 1, second - first - 1);
  if (!take_cpu_number(number, node.host_node) || !number.empty() || node.host_node >= CpuSet::capacity)
    return bad("does not begin with the number of a host node", "write for example 0:2G:0-3");
  std::uint64_t bytes = 0;
  const bool has_digits = take_digits(size, bytes);
  const unsigned shift = suffix_shift(size);
  if (!has_digits || shift == 64 || bytes == 0 || bytes > ~0ull >> shift)
    return bad("has no size between its colons", "write for example 0:2G:0-3");
  node.memory = bytes << shift;
  auto vcpus = CpuSet::parse(text.substr(second + 1));
  if (!vcpus) return std::unexpected(vcpus.error());
  if (vcpus->empty()) return bad("names no vCPUs", "give every node at least one vCPU");
  node.vcpus = *vcpus;
  return node;
}

}  // namespace detail

inline Result<PinOption> PinOption::parse(std::string_view text) {
  if (text == "auto") return PinOption{};
  if (text == "none") return PinOption{.kind = Kind::None};
  PinOption option{.kind = Kind::List};
  CpuSet seen;
  unsigned twice = CpuSet::capacity;
  auto read = for_each_cpu_range(text, [&](unsigned first, unsigned last) {
    for (unsigned cpu = first; cpu <= last && twice == CpuSet::capacity; ++cpu) {
      if (seen.has(cpu)) twice = cpu;
      seen.add(cpu);
      option.cpus.push_back(cpu);
    }
  });
  if (!read && text.find_first_of("0123456789") == text.npos)
    return failure(ErrorCode::InvalidArgument,
                   axvm::text<1023>("read --pin: '", text.substr(0, 60), "' is not auto, none or a list"),
                   "write a list of host CPUs such as 0-3,8");
  if (!read) return detail::in_option("--pin", read.error());
  if (twice != CpuSet::capacity)
    return failure(ErrorCode::InvalidArgument, axvm::text<1023>("read --pin: CPU ", twice, " is listed twice"),
                   "give each vCPU a CPU of its own, or use --pin none");
  if (option.cpus.empty())
    return failure(ErrorCode::InvalidArgument, "read --pin: the list is empty",
                   "write auto, none, or a list such as 0-3,8");
  return option;
}

inline Result<NumaOption> NumaOption::parse(std::string_view text) {
  if (text == "auto") return NumaOption{};
  if (text == "off") return NumaOption{.kind = Kind::Off};
  if (text.find(':') == text.npos)
    return failure(ErrorCode::InvalidArgument,
                   axvm::text<1023>("read --numa: '", text.substr(0, 60), "' is not auto, off or nodes"),
                   "write nodes such as 0:2G:0-3,1:2G:4-7");
  NumaOption option{.kind = Kind::Nodes};
  CpuSet all;
  while (!text.empty()) {
    // A node ends before the comma whose next part, up to the comma after that, has a colon.
    std::size_t end = text.find(',');
    while (end != text.npos) {
      const std::size_t next = text.find(',', end + 1), colon = text.find(':', end + 1);
      if (colon < next) break;  // npos is the greatest number
      end = next;
    }
    auto node = detail::parse_numa_node(text.substr(0, end));
    if (!node) return detail::in_option("--numa", node.error());
    if (const CpuSet twice = all & node->vcpus; !twice.empty())
      return failure(ErrorCode::InvalidArgument,
                     axvm::text<1023>("read --numa: vCPU ", twice.first(), " is on two nodes"), "name every vCPU once");
    if (option.nodes.size() == PlacementPlan::max_nodes)
      return failure(ErrorCode::OutOfRange,
                     axvm::text<1023>("read --numa: more than ", PlacementPlan::max_nodes, " nodes"));
    all = all | node->vcpus;
    option.nodes.push_back(*node);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return option;
}

/// The list as CpuSet::parse() reads it, however long.
[[nodiscard]] inline std::string to_string(CpuSet const& set) {
  std::string out;
  set.for_each_run([&out](unsigned from, unsigned to) {
    out.append(out.empty() ? "" : ",").append(std::to_string(from));
    if (to != from) out.append("-").append(std::to_string(to));
  });
  return out;
}

/// The option as parse() reads it; the order of a list is kept.
[[nodiscard]] inline std::string to_string(PinOption const& option) {
  if (option.kind != PinOption::Kind::List) return option.kind == PinOption::Kind::Auto ? "auto" : "none";
  std::string out;
  for (std::size_t i = 0; i < option.cpus.size();) {
    std::size_t end = i + 1;
    while (end < option.cpus.size() && option.cpus[end] == option.cpus[end - 1] + 1) ++end;
    out.append(out.empty() ? "" : ",").append(std::to_string(option.cpus[i]));
    if (end - i > 1) out.append("-").append(std::to_string(option.cpus[end - 1]));
    i = end;
  }
  return out;
}

/// The option as parse() reads it.
[[nodiscard]] inline std::string to_string(NumaOption const& option) {
  if (option.kind != NumaOption::Kind::Nodes) return option.kind == NumaOption::Kind::Auto ? "auto" : "off";
  std::string out;
  for (NumaNodeOption const& node : option.nodes)
    out.append(out.empty() ? "" : ",")
        .append(std::to_string(node.host_node))
        .append(":")
        .append(detail::size_option(node.memory))
        .append(":")
        .append(to_string(node.vcpus));
  return out;
}

}  // namespace axvm::inline v1
