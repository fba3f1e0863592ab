#pragma once

#include <doctest/doctest.h>

#include <string>

#include "recorded_processor.hpp"

/// One of the recorded hosts of tests/unit/hosts, by its name.
inline RecordedProcessor recorded(std::string const& name) {
  RecordedProcessor host = RecordedProcessor::load(std::string(AXVM_RECORDED_HOSTS) + "/" + name + ".txt");
  REQUIRE_FALSE(host.leaves.empty());
  CHECK(host.faults == "");
  CHECK(host.provenance != "");
  return host;
}
