#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>

#include <axvm/axvm.hpp>
#include <axvm/compose/settings.hpp>
#include <axvm/hv/hv.hpp>

using namespace axvm;

namespace {

enum class Mode : std::uint8_t { off, tap, user };

struct Queue {
  std::uint16_t size = 256;
  bool on = true;
};

struct Everything {
  bool flag = false;
  std::int8_t tiny = -1;
  std::uint64_t wide = ~0ull;
  std::int64_t deep = std::numeric_limits<std::int64_t>::min();
  std::uint64_t bytes = 4096;
  Mode mode = Mode::tap;
  Text<5> name = "abc";
  std::array<std::int16_t, 3> three{1, -2, 3};
  Queue queue;
  std::array<Queue, 2> queues{Queue{.size = 1}, Queue{.size = 2}};

  static constexpr auto fields = axvm::fields(
      field<&Everything::bytes>{.help = "how much", .unit = "bytes", .min = 4096, .max = 1 << 30, .multiple_of = 4096},
      field<&Everything::mode>{.help = "how", .alias = 'x'}, field<&Everything::tiny>{.unit = "ms", .max = 100});
};

struct Device0 {
  static constexpr auto claims = axvm::claims();
};
/// A device nobody prepared anything for.
class TestBell : public Device0 {
 public:
  struct Config {
    int initial = 7;
  };
  TestBell(Config const&, DeviceContext&) {}
};
class Renamed : public Device0 {
 public:
  static constexpr std::string_view config_name = "testbell";
  struct Config {
    Mode mode = Mode::user;
  };
  static constexpr auto fields = axvm::fields(field<&Config::mode>{.help = "which way"});
  Renamed(Config const&, DeviceContext&) {}
};
template <int>
class VirtioWidget7 : public Device0 {
 public:
  struct Config {};
  VirtioWidget7(Config const&, DeviceContext&) {}
};

template <class... Ds>
using OnFake = Machine<Portable, Devices<Ds...>, Handlers<>, fake::Fake>;

std::string error_of(Setting const& setting, std::string_view text) {
  const std::string before(setting.text().view());
  const auto done = setting.set(text);
  REQUIRE_FALSE(done);
  CHECK(setting.text() == before);  // a bad value changes nothing
  std::string all(done.error().operation.view());
  return done.error().hint.empty() ? all : all.append("; ").append(done.error().hint.view());
}

}  // namespace

static_assert(setting_count<Everything> == 14);
static_assert(detail::config_name<VirtioBlk> == "blk" && detail::config_name<Uart8250> == "uart");
static_assert(detail::config_name<TestBell> == "testbell" && detail::config_name<VirtioWidget7<3>> == "widget");
static_assert(!detail::is_config_name("blk0") && !detail::is_config_name("") && !detail::is_config_name("Blk"));

TEST_CASE("settings: names, kinds and defaults of every kind of field") {
  Everything everything;
  const auto settings = settings_of(everything, "dev0.");
  const std::pair<const char*, const char*> expected[] = {{"dev0.flag", "false"},
                                                          {"dev0.tiny", "-1"},
                                                          {"dev0.wide", "18446744073709551615"},
                                                          {"dev0.deep", "-9223372036854775808"},
                                                          {"dev0.bytes", "4K"},
                                                          {"dev0.mode", "tap"},
                                                          {"dev0.name", "abc"},
                                                          {"dev0.three", "1,-2,3"},
                                                          {"dev0.queue.size", "256"},
                                                          {"dev0.queue.on", "true"},
                                                          {"dev0.queues0.size", "1"},
                                                          {"dev0.queues0.on", "true"},
                                                          {"dev0.queues1.size", "2"},
                                                          {"dev0.queues1.on", "true"}};
  REQUIRE(settings.size() == std::size(expected));
  for (std::size_t i = 0; i < settings.size(); ++i) {
    CHECK(settings[i].name == std::string_view(expected[i].first));
    CHECK(settings[i].text() == std::string_view(expected[i].second));
    CHECK(settings[i].default_text() == std::string_view(expected[i].second));
    CHECK(settings[i].set(settings[i].text()));  // what is printed can be read
    CHECK(settings[i].text() == std::string_view(expected[i].second));
  }
  CHECK(find_setting(settings, "dev0.bytes")->kind() == ValueKind::Size);
  CHECK(find_setting(settings, "dev0.mode")->notes.alias == 'x');
  CHECK(find_setting(settings, "dev0.queue") == nullptr);
}

TEST_CASE("settings: values are read into the fields") {
  Everything everything;
  const auto settings = settings_of(everything);
  const std::map<std::string, std::string> given = {
      {"flag", "yes"}, {"tiny", "-128"},  {"wide", "0xFFfF"},  {"deep", "-5"},         {"bytes", "512M"},
      {"mode", "off"}, {"name", "12345"}, {"three", "7,8,-9"}, {"queues1.size", "77"}, {"queue.on", "off"}};
  for (auto const& [name, text] : given) {
    CAPTURE(name);
    CHECK(find_setting(settings, name)->set(text));
  }
  CHECK(everything.flag);
  CHECK(everything.tiny == -128);
  CHECK(everything.wide == 0xffff);
  CHECK(everything.deep == -5);
  CHECK(everything.bytes == 512 * MiB);
  CHECK(everything.mode == Mode::off);
  CHECK(everything.name == "12345");
  CHECK(everything.three == std::array<std::int16_t, 3>{7, 8, -9});
  CHECK(everything.queues[1].size == 77);
  CHECK_FALSE(everything.queue.on);
  CHECK(find_setting(settings, "bytes")->default_text() == "4K");
}

TEST_CASE("settings: sizes") {
  Everything everything;
  const auto settings = settings_of(everything);
  Setting const& bytes = *find_setting(settings, "bytes");
  for (auto const& [text, value] : std::map<std::string, std::uint64_t>{
           {"4096", 4096}, {"4K", 4096}, {"4k", 4096}, {"8KiB", 8192}, {"1M", MiB}, {"1G", GiB}, {"0x2000", 8192}}) {
    CAPTURE(text);
    CHECK(bytes.set(text));
    CHECK(everything.bytes == value);
  }
  CHECK(bytes.allowed() == "4K to 1G, a multiple of 4K");
  CHECK(bytes.summary() == "how much (bytes, or with K, M, G, T; default 4K; 4K to 1G, a multiple of 4K)");
  for (const char* bad : {"", "M", "4Q", "4MB", "4 M", "-", "1.5G", "4KK", "0x", "4i"})
    CHECK(error_of(bytes, bad) == "'" + std::string(bad) + "' is not a size; write for example 512M or 4G");
  CHECK(error_of(bytes, "512") ==
        "'512' is out of range: 4K to 1G, a multiple of 4K; a bare number counts bytes: write for example 512M or 4G");
  CHECK(error_of(bytes, "2G") == "'2G' is out of range: 4K to 1G, a multiple of 4K");
  CHECK(error_of(bytes, "99999999999T") == "'99999999999T' is out of range: 4K to 1G");
  CHECK(error_of(bytes, "5000") == "'5000' is not a multiple of 4K");
  CHECK(error_of(bytes, "-1M") == "'-1M' is out of range: 4K to 1G");
}

TEST_CASE("settings: every bad value says what is wrong with it") {
  Everything everything;
  const auto settings = settings_of(everything);
  auto bad = [&](std::string_view name, std::string_view text) {
    return error_of(*find_setting(settings, name), text);
  };
  CHECK(bad("flag", "1") == "'1' is not true or false");
  CHECK(bad("tiny", "101") == "'101' is out of range: at most 100");
  CHECK(bad("tiny", "-129") == "'-129' is out of range: at most 100");
  CHECK(bad("tiny", "4x") == "'4x' is not a whole number");
  CHECK(bad("wide", "18446744073709551616") == "'18446744073709551616' is not a whole number");
  CHECK(bad("wide", "-1") == "'-1' is out of range: 0 to 18446744073709551615");
  CHECK(bad("deep", "9223372036854775808") ==
        "'9223372036854775808' is out of range: -9223372036854775808 to 9223372036854775807");
  CHECK(bad("queue.size", "65536") == "'65536' is out of range: 0 to 65535");
  CHECK(bad("mode", "tpa") == "'tpa' is not off, tap or user; did you mean tap?");
  CHECK(bad("mode", "bridge") == "'bridge' is not off, tap or user");
  CHECK(bad("name", "123456") == "the text has 6 bytes, at most 5 are possible");
  CHECK(bad("name", std::string_view("a\0b", 3)) == "the text holds a zero byte");
  CHECK(bad("three", "1,2") == "'1,2' has 2 values, not 3; separate them by commas");
  CHECK(bad("three", "1,2,x") == "'x' is not a whole number");
  CHECK(bad("three", "") == "'' has 0 values, not 3; separate them by commas");
}

TEST_CASE("settings: a machine's own, then each device's with its name and number") {
  using M = OnFake<Uart8250, VirtioBlk, TestBell, Renamed, VirtioBlk, VirtioWidget7<1>, TestBell>;
  M::Config config{.memory = 1 * GiB};
  config.of<VirtioBlk, 1>().path = "b.img";
  const auto settings = machine_settings<M>(config);
  std::string names;
  for (Setting const& setting : settings) names.append(setting.name.view()).append(" ");
  CHECK(names ==
        "memory memory_backing mlock prefault vcpus host_check cpu_use realtime reboot kick_signal "
        "uart0.enabled uart0.flow_control blk0.path blk0.read_only blk0.direct blk0.queues blk0.exact_interrupt_status "
        "testbell0.initial testbell1.mode blk1.path blk1.read_only blk1.direct blk1.queues "
        "blk1.exact_interrupt_status testbell2.initial ");
  CHECK(find_setting(settings, "memory")->text() == "1G");
  CHECK(find_setting(settings, "memory")->default_text() == "512M");
  CHECK(find_setting(settings, "blk1.path")->text() == "b.img");
  CHECK(find_setting(settings, "blk1.path")->default_text().empty());
  CHECK(find_setting(settings, "vcpus")->notes.max == Portable::max_vcpus);
  CHECK(find_setting(settings, "testbell1.mode")->notes.help == "which way");

  CHECK(find_setting(settings, "testbell2.initial")->set("-3"));
  CHECK(config.of<TestBell, 1>().initial == -3);
  CHECK(config.of<TestBell, 0>().initial == 7);
  CHECK(find_setting(settings, "host_check")->set("warn"));
  CHECK(config.host_check == HostCheck::warn);
  CHECK_FALSE(find_setting(settings, "vcpus")->set("0"));
  CHECK_FALSE(find_setting(settings, "memory")->set("1M1"));
}

TEST_CASE("settings: the name that somebody probably meant") {
  auto nearest = [](std::string_view wanted) {
    NearestName name(wanted);
    for (std::string_view known : {"memory", "vcpus", "blk0.path", "blk1.path", "reboot"}) name.consider(known);
    return name.name();
  };
  CHECK(nearest("memroy") == "memory");
  CHECK(nearest("vcpu") == "vcpus");
  CHECK(nearest("blk1.paht") == "blk1.path");
  CHECK(nearest("memory") == "memory");
  CHECK(nearest("frobnicate").empty());
  CHECK(nearest("").empty());
  CHECK(nearest(std::string(1000, 'x')).empty());
}
