// A name for settings that could be taken for another device's: card1 and 0, or card and 10?
// EXPECT: NotAConfigName<not_a_config_name::Card>
// EXPECT: axvm: a device's config_name has lower-case letters, digits and _, .* does not end with a digit

#include <axvm/axvm.hpp>
#include <axvm/compose/settings.hpp>

namespace not_a_config_name {

struct Card {
  static constexpr auto claims = axvm::claims();
#ifdef FIXED
  static constexpr std::string_view config_name = "card";
#else
  static constexpr std::string_view config_name = "card1";
#endif
  struct Config {
    unsigned volume = 3;
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

}  // namespace not_a_config_name
