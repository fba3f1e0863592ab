// The same within a list of aggregates, in two devices of the type.
// EXPECT: NotASetting<not_a_setting_nested::Card::Voice, const char ?\*>
// EXPECT: axvm: a field of a Config is a bool, an integer, an enum class, a Text<N>

#include <axvm/axvm.hpp>
#include <axvm/compose/settings.hpp>

namespace not_a_setting_nested {

struct Card {
  static constexpr auto claims = axvm::claims();
  struct Voice {
#ifdef FIXED
    axvm::Text<15> name = "flute";
#else
    char const* name = "flute";
#endif
  };
  struct Config {
    std::array<Voice, 2> voices;
  };
  Card(Config const&, axvm::DeviceContext&) {}
};

using M = axvm::Machine<axvm::Bare, axvm::Devices<Card, Card>>;

inline int user() {
  M::Config config;
  for (axvm::Setting const& setting : axvm::machine_settings<M>(config))
    if (setting.text().empty()) return 1;
  auto machine = M::create(config);
  if (!machine || !machine->load(axvm::FlatCode{})) return 1;
  return machine->run() ? 0 : 1;
}

}  // namespace not_a_setting_nested
