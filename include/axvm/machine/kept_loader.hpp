#pragma once

#include <utility>

#include <axvm/boot/boot.hpp>
#include <axvm/core/core.hpp>
#include <axvm/cpu/cpu.hpp>

namespace axvm::inline v1::detail {

/// The guest's loader, of whatever type; called once per start of the guest and never on an exit.
class KeptLoader {
 public:
  KeptLoader() = default;
  KeptLoader(KeptLoader const&) = delete;
  KeptLoader& operator=(KeptLoader const&) = delete;
  ~KeptLoader() {
    if (loader_ != nullptr) drop_(loader_);
  }

  template <class Loader>
  void keep(Loader loader) {
    auto* const kept = new Loader(std::move(loader));
    if (loader_ != nullptr) drop_(loader_);
    loader_ = kept;
    call_ = [](void* self, boot::Context const& context) {
      return Result<EntryState>((*static_cast<Loader*>(self))(context));
    };
    drop_ = [](void* self) { delete static_cast<Loader*>(self); };
  }
  Result<EntryState> operator()(boot::Context const& context) { return call_(loader_, context); }

 private:
  void* loader_ = nullptr;
  Result<EntryState> (*call_)(void*, boot::Context const&) = nullptr;
  void (*drop_)(void*) = nullptr;
};

}  // namespace axvm::inline v1::detail
