#pragma once

#include <axvm/device/host.hpp>

namespace axvm::inline v1 {

class SystemHost;

/// The system as one part of a host: `static constexpr void add(Host::Operations&)` sets the part's function, which
/// gets the SystemHost. Defined beside the code of the part; incomplete in a program that does not include that.
template <HostPart Part>
struct SystemPart;

}  // namespace axvm::inline v1
