#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>
#include <utility>

#include <axvm/compose/devices.hpp>
#include <axvm/compose/fault.hpp>
#include <axvm/core/reflect.hpp>
#include <axvm/core/settings.hpp>

namespace axvm::inline v1 {

/// Has something to be saved: `struct State`, and the member `state`.
template <class D>
concept HasState = requires { typename D::State; };

namespace detail {

template <class D>
concept HasSoundState = PlainAggregate<typename D::State> && std::default_initializable<typename D::State> &&
                        std::copyable<typename D::State> && requires(D& device) {
                          { device.state } -> std::same_as<typename D::State&>;
                        };

template <class Aggregate, std::size_t I>
inline constexpr auto name_in_diagnostic = [] {
  constexpr std::string_view name = field_name<Aggregate, I>;
  Name<name.size() + 1> copy;
  for (std::size_t i = 0; i < name.size(); ++i) copy.text[i] = name[i];
  return copy;
}();

template <class D, class Aggregate>
consteval auto fields_fault();

template <class D, class Aggregate, std::size_t I>
consteval auto field_fault() {
  using Field = field_type<Aggregate, I>;
  using Value = typename ArrayElement<Field>::Type;
  if constexpr (SettingValue<Value>) return Nothing{};
  else if constexpr (IsNested<Value>) return fields_fault<D, Value>();
  else return Found<NotSaveable<D, name_in_diagnostic<Aggregate, I>, Field>>{};
}

/// The first field of `Aggregate`, a part of the State of `D`, that cannot be saved.
template <class D, class Aggregate>
consteval auto fields_fault() {
  return []<std::size_t... Is>(std::index_sequence<Is...>) {
    return (Nothing{} | ... | field_fault<D, Aggregate, Is>());
  }(std::make_index_sequence<field_count<Aggregate>>{});
}

template <class D>
consteval auto state_fault() {
  if constexpr (!HasState<D>) return Nothing{};
  else if constexpr (!HasSoundState<D>) return Found<NotADevice<D, Lacks::state>>{};
  else return fields_fault<D, typename D::State>();
}

template <class... Ds>
consteval auto states_fault(Devices<Ds...>) {
  return (Nothing{} | ... | state_fault<Ds>());
}

}  // namespace detail
}  // namespace axvm::inline v1
