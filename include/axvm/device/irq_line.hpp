#pragma once

namespace axvm::inline v1 {

/// A device's interrupt line: a small value that calls its owner only when the level changes. A line without a
/// function is not connected and ignores everything. Used under the device's own lock.
class IrqLine {
 public:
  constexpr IrqLine() = default;
  /// `on_change(self, level)` is called on every change of level.
  constexpr IrqLine(void* self, void (*on_change)(void*, bool)) : self_(self), set_(on_change) {}

  void raise() { set(true); }
  void lower() { set(false); }
  /// An edge, whatever the level was before; the line is low afterwards.
  void pulse() {
    lower();
    raise();
    lower();
  }
  void set(bool level) {
    if (level == level_) return;
    level_ = level;
    if (set_ != nullptr) set_(self_, level);
  }
  [[nodiscard]] bool level() const { return level_; }

 private:
  void* self_ = nullptr;
  void (*set_)(void*, bool) = nullptr;
  bool level_ = false;
};

}  // namespace axvm::inline v1
