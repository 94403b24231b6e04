// The names that enumerators have for people: in configurations, on the command line, in reports.
//
// The names of an enum are defined once, beside it, by a function that is found through the enum's
// namespace:
//   constexpr auto enum_names(Colour) {
//     return std::to_array<io::EnumName<Colour>>({{"red", Colour::kRed}, {"blue", Colour::kBlue}});
//   }
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/check.h"

namespace mneme::io {

template <typename Enum>
struct EnumName {
  std::string_view name;
  Enum value;
};

template <typename Enum>
std::string name_of(Enum value) {
  for (const EnumName<Enum>& entry : enum_names(Enum{})) {
    if (entry.value == value) return std::string(entry.name);
  }
  CHECK(false, "an enumerator has no name");
}

// Nothing where no enumerator has that name.
template <typename Enum>
std::optional<Enum> value_named(std::string_view name) {
  for (const EnumName<Enum>& entry : enum_names(Enum{})) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

// All names, in the order of their definition.
template <typename Enum>
std::vector<std::string> names_of() {
  std::vector<std::string> names;
  for (const EnumName<Enum>& entry : enum_names(Enum{})) names.emplace_back(entry.name);
  return names;
}

}  // namespace mneme::io
