// Where a field of the books stands in an object of metrics.jsonl.
#pragma once

#include <algorithm>
#include <string>

#include "offload/ledger/fields.h"

namespace mneme::engine {

// As a JSON pointer: a dot of its name is one level deeper.
inline std::string field_pointer(const offload::FieldInfo& info) {
  std::string pointer(1, '/');
  pointer += info.name;
  std::replace(pointer.begin(), pointer.end(), '.', '/');
  return pointer;
}

}  // namespace mneme::engine
