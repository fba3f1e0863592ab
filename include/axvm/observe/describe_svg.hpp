#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <axvm/compose/description.hpp>
#include <axvm/compose/layout.hpp>
#include <axvm/compose/regions.hpp>
#include <axvm/core/once.hpp>
#include <axvm/observe/device_lines.hpp>
#include <axvm/observe/notation.hpp>
#include <axvm/observe/svg_canvas.hpp>

namespace axvm::inline v1 {

namespace detail {

/// The picture of a machine: its address map as a bar on the left, interrupt lines and devices on the right.
class MachinePicture {
 public:
  explicit MachinePicture(Description const& machine) : machine_(machine) {
    for (std::size_t i = 0; i < machine.devices.size(); ++i) devices_.emplace_back(machine, i);
  }

  [[nodiscard, gnu::cold]] std::string draw() && {
    draw_head();
    const int bar_end = draw_map();
    const int boxes_end = draw_devices(machine_.has_interrupts ? draw_lines() : head_height);
    const int legend = std::max(bar_end, boxes_end) + 10;
    draw_legend(legend);
    const std::string title =
        std::string("The machine ").append(machine_.profile_type).append(": address map and devices");
    return std::move(canvas_).finish(width, legend + 28, title, style, definitions);
  }

 private:
  static constexpr int width = 800, margin = 20, head_height = 84;
  static constexpr int bar_x = margin + 84, bar_width = 196;
  static constexpr int boxes_x = bar_x + bar_width + 30, gap = 10;
  static constexpr int box_width = (width - margin - boxes_x - gap) / 2, padding = 8;
  static constexpr int font = 11, small = 10, line_height = 15;

  static constexpr std::string_view style =
      "text { font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 11px; fill: #1d2733; }\n"
      ".ground { fill: #ffffff; }\n"
      "text.headline { font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif; font-size: 18px; font-weight: bold; "
      "}\n"
      "text.caption { font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif; font-size: 12px; font-weight: bold; }\n"
      "text.plain { font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif; font-size: 12px; fill: #4a5664; }\n"
      "text.small { font-size: 10px; fill: #4a5664; }\n"
      "text.title { font-weight: bold; }\n"
      "text.faint { fill: #76818d; }\n"
      "rect { stroke: #4a5664; stroke-width: 1; }\n"
      "rect.ground { stroke: none; }\n"
      ".ram { fill: #d9ecd6; }\n"
      ".acpi { fill: #f6ecb8; }\n"
      ".unused { fill: #f0f1f3; }\n"
      ".hole { fill: url(#hatch); }\n"
      ".hypervisor { fill: #e7def2; }\n"
      ".device { fill: #d5e5f7; }\n"
      ".absent { fill: #ffffff; stroke: #8b96a3; stroke-dasharray: 4 3; }\n"
      "line { stroke: #8b96a3; }\n";
  static constexpr std::string_view definitions =
      "<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">"
      "<rect width=\"6\" height=\"6\" style=\"fill:#ffffff;stroke:none\"/>"
      "<path d=\"M0 6L6 0\" style=\"stroke:#c9d0d8;stroke-width:1\"/></pattern>\n";

  [[nodiscard]] std::string_view style_of(std::size_t device) const {
    return machine_.present(device) ? "device" : "absent";
  }

  [[nodiscard]] std::string_view style_of(Region const& region) const {
    switch (region.kind) {
      case RegionKind::Ram: return "ram";
      case RegionKind::AcpiTables: return "acpi";
      case RegionKind::PciConfig:
      case RegionKind::Unused: return "unused";
      case RegionKind::Hole: return "hole";
      case RegionKind::Window: return style_of(region.device);
      case RegionKind::IoApic: return machine_.own_io_apic ? "device" : "hypervisor";
      case RegionKind::LocalApic:
      case RegionKind::HypervisorPages: return "hypervisor";
    }
    return {};
  }

  [[gnu::cold]] void draw_head() {
    canvas_.text("headline", margin, 34, machine_.profile, 60);
    std::string facts(machine_.profile_type);
    facts.append(" on ").append(machine_.hypervisor).append(": ").append(notation::count(machine_.vcpus, "vCPU"));
    facts.append(" of at most ").append(std::to_string(machine_.max_vcpus)).append(", ");
    facts.append(notation::size(machine_.memory)).append(" of memory, ");
    facts.append(notation::count(machine_.devices.size(), "device"));
    canvas_.text("plain", margin, 54, facts, 90);
    canvas_.text("caption", bar_x, head_height - 8, "Physical addresses", 30);
    canvas_.text("caption", boxes_x, head_height - 8, machine_.has_interrupts ? "Interrupt lines" : "Devices", 30);
  }

  /// The address map, highest address first as in manuals. Returns where it ends.
  [[gnu::cold]] int draw_map() {
    std::vector<Region> regions;
    for_each_region(machine_, [&](Region const& region) { regions.push_back(region); });
    std::reverse(regions.begin(), regions.end());
    int y = head_height;
    auto mark = [&](GuestAddress address) {
      canvas_.line("tick", bar_x - 5, y, bar_x, y);
      canvas_.text("small", bar_x - 8, y + 4, notation::hex(address), characters(bar_x - 8 - 2, small), SvgAnchor::End);
    };
    // The end of the last region as the address behind it, which 64 bits may not hold.
    if (const GuestAddress end = regions.front().base + regions.front().size; end != 0) mark(end);
    for (Region const& region : regions) {
      const int height = region.kind == RegionKind::Ram ? 44 : 22;
      const std::string size = notation::size(region.size), title = title_of(region, machine_);
      canvas_.rectangle(style_of(region), bar_x, y, bar_width, height,
                        title + ", " + notation::range(region.base, region.size) + ", " + size);
      const int base_line = y + height / 2 + 4;
      canvas_.text("small", bar_x + bar_width - padding, base_line, size, 12, SvgAnchor::End);
      const int taken = SvgCanvas::text_width(size.size(), small) + 3 * padding;
      canvas_.text("name", bar_x + padding, base_line, title, characters(bar_width - taken, font));
      y += height;
      mark(region.base);
    }
    canvas_.text("small", bar_x, y + 18, "not to scale", 20);
    return y + 18;
  }

  /// The pins of the I/O APIC with those that devices have, as many as there are when none is absent. Returns where the
  /// devices begin.
  [[gnu::cold]] int draw_lines() {
    constexpr int row = 24, pin_width = (width - margin - boxes_x) / row, height = 20;
    int pins = 1;
    for (DeviceDescription const& device : machine_.devices)
      for (Claim const& claim : device.claims)
        if (claim.kind == ClaimKind::Irq) pins = std::max(pins, static_cast<int>(claim.base) + 1);
    int y = head_height;
    for (int pin = 0; pin < pins; ++pin) {
      if (pin != 0 && pin % row == 0) y += height;
      const int x = boxes_x + pin % row * pin_width;
      std::size_t owner = devices_.size();
      for (std::size_t i = 0; i < devices_.size(); ++i)
        for (Claim const& claim : machine_.devices[i].claims)
          if (claim.kind == ClaimKind::Irq && claim.base == static_cast<std::uint64_t>(pin)) owner = i;
      const bool used = owner != devices_.size();
      canvas_.rectangle(used ? style_of(owner) : "unused", x, y, pin_width, height,
                        used ? devices_[owner].title : std::string_view("free"));
      canvas_.text(used ? "small" : "small faint", x + pin_width / 2, y + 14, std::to_string(pin), 2,
                   SvgAnchor::Middle);
    }
    y += height + 24;
    canvas_.text("caption", boxes_x, y, "Devices", 30);
    return y + 8;
  }

  /// The devices as boxes in two columns, each below the shorter one. Returns where they end.
  [[gnu::cold]] int draw_devices(int top) {
    std::array<int, 2> ends{top, top};
    for (std::size_t i = 0; i < devices_.size(); ++i) {
      const std::size_t column = ends[1] < ends[0] ? 1 : 0;
      const int x = boxes_x + static_cast<int>(column) * (box_width + gap);
      ends[column] = draw_device(i, x, ends[column]) + gap;
    }
    if (devices_.empty()) canvas_.text("small", boxes_x, top + line_height, "none", 4);
    return std::max(ends[0], ends[1]);
  }

  /// One box; returns where it ends.
  [[gnu::cold]] int draw_device(std::size_t index, int x, int top) {
    DeviceLines const& device = devices_[index];
    constexpr int label_width = 40;
    const std::size_t room = characters(box_width - 2 * padding - label_width, font);
    struct Line {
      std::string_view label;
      std::string text;
    };
    std::vector<Line> lines;
    auto add = [&](std::string_view label, std::vector<std::string> const& texts) {
      for (std::string const& text : texts)
        for (std::string& part : notation::wrap(text, room)) {
          lines.push_back({label, std::move(part)});
          label = {};
        }
    };
    add("ports", device.ports);
    add("mmio", device.mmio);
    add("irq", device.irq);
    if (!device.acpi.empty()) add("acpi", {device.acpi});

    const auto titles = notation::wrap(device.title, characters(box_width - 2 * padding, font));
    const std::string_view remark = !machine_.present(index)           ? "absent in this configuration"
                                    : machine_.devices[index].implicit ? "of the platform"
                                                                       : "";
    const std::size_t rows = titles.size() + (remark.empty() ? 0 : 1) + lines.size();
    const int height = 2 * padding + line_height * static_cast<int>(rows);
    canvas_.rectangle(style_of(index), x, top, box_width, height);
    int y = top + padding - 4;
    for (std::string const& title : titles) canvas_.text("title", x + padding, y += line_height, title, title.size());
    if (!remark.empty())
      canvas_.text("small", x + padding, y += line_height, remark, characters(box_width - 2 * padding, small));
    for (Line const& line : lines) {
      y += line_height;
      canvas_.text("faint", x + padding, y, line.label, 5);
      canvas_.text("value", x + padding + label_width, y, line.text, room);
    }
    return top + height;
  }

  [[gnu::cold]] void draw_legend(int y) {
    int x = margin;
    constexpr std::string_view entries[][2]{
        {"device", "device"},         {"absent", "absent device"},  {"ram", "RAM"},
        {"hypervisor", "hypervisor"}, {"hole", "free for devices"}, {"unused", "unused"}};
    for (auto const& [look, meaning] : entries) {
      canvas_.rectangle(look, x, y, 20, 12);
      canvas_.text("small", x + 26, y + 10, meaning, 20);
      x += 26 + SvgCanvas::text_width(meaning.size(), small) + 24;
    }
  }

  static constexpr std::size_t characters(int room, int size) { return SvgCanvas::characters_in(room, size); }

  Description const& machine_;
  std::vector<DeviceLines> devices_;
  SvgCanvas canvas_;
};

}  // namespace detail

/// A machine as a picture for a document: an SVG 800 pixels wide and as high as it takes. The address map is a bar,
/// ordered but not to scale; each device is a box with its ports, windows, lines and ACPI node; what is the
/// hypervisor's looks different from what is the monitor's. Needs no font, script or file from elsewhere.
[[nodiscard, gnu::cold, AXVM_ONCE]] inline std::string describe_svg(Description const& machine) {
  return detail::MachinePicture(machine).draw();
}

}  // namespace axvm::inline v1
