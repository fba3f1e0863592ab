#pragma once

#include <cstddef>
#include <utility>

#include <axvm/device/device.hpp>

namespace axvm::inline v1 {

/// How many devices a machine has at most, the profile's own among them. (clang folds no more than 256 operands.)
inline constexpr std::size_t max_devices = 256;

/// The devices of a machine, in order. The same type may stand in the list several times.
template <class... Ds>
struct Devices {
  static constexpr std::size_t count = sizeof...(Ds);
};

/// `N` devices of one type, as if written `N` times: `Devices<Uart8250, Repeat<4, VirtioBlk>>`.
template <std::size_t N, class D>
struct Repeat {};

namespace detail {

template <class List, class... Rest>
struct Flatten {
  using Type = List;
};

template <class... Done, class Next, class... Rest>
struct Flatten<Devices<Done...>, Next, Rest...> {
  using Type = typename Flatten<Devices<Done..., Next>, Rest...>::Type;
};

template <class... Done, class D, class... Rest>
struct Flatten<Devices<Done...>, Repeat<0, D>, Rest...> {
  using Type = typename Flatten<Devices<Done...>, Rest...>::Type;
};

template <class... Done, std::size_t N, class D, class... Rest>
struct Flatten<Devices<Done...>, Repeat<N, D>, Rest...> {
  using Type = typename Flatten<Devices<Done..., D>, Repeat<N - 1, D>, Rest...>::Type;
};

template <class... Done, class... Inner, class... Rest>
struct Flatten<Devices<Done...>, Devices<Inner...>, Rest...> {
  using Type = typename Flatten<Devices<Done...>, Inner..., Rest...>::Type;
};

template <std::size_t I, class D>
struct Indexed {
  using Type = D;
};
template <class Sequence, class... Ds>
struct IndexedAll;
template <std::size_t... Is, class... Ds>
struct IndexedAll<std::index_sequence<Is...>, Ds...> : Indexed<Is, Ds>... {};
template <std::size_t I, class D>
Indexed<I, D> indexed_at(Indexed<I, D> const*);

template <std::size_t I, class List>
struct ElementAt;
template <std::size_t I, class... Ds>
struct ElementAt<I, Devices<Ds...>> {
  using All = IndexedAll<std::index_sequence_for<Ds...>, Ds...>;
  using Type = typename decltype(indexed_at<I>(static_cast<All const*>(nullptr)))::Type;
};

}  // namespace detail

/// A device list with every `Repeat` and nested list written out.
template <class... Lists>
using Flat = typename detail::Flatten<Devices<>, Lists...>::Type;

/// The `I`-th device of a flat list.
template <std::size_t I, class List>
using DeviceAt = typename detail::ElementAt<I, List>::Type;

}  // namespace axvm::inline v1
