// A field that no flag and no key of a file can set.
// EXPECT: NotASetting<not_a_setting::Card::Config, double>
// EXPECT: axvm: a field of a Config is a bool, an integer, an enum class, a Text<N>

#include <axvm/axvm.hpp>
#include <axvm/compose/settings.hpp>

namespace not_a_setting {

struct Card {
  static constexpr auto claims = axvm::claims();
  struct Config {
    unsigned volume = 3;
#ifdef FIXED
    unsigned speed = 1;
#else
    double speed = 1.5;
#endif
  };
  Card(Config const&, axvm::DeviceContext&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Card>>;

inline int user() {
  M::Config config;
  for (axvm::Setting const& setting : axvm::machine_settings<M>(config))
    if (setting.text().empty()) return 1;
  auto machine = M::create(config);
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_a_setting
