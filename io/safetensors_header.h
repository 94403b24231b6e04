// The JSON header of a safetensors file: parsing with every check that needs no data, and writing.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.h"

namespace mneme::io {

// As in the format's reference implementation; nothing longer is allocated.
inline constexpr std::uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<TensorInfo> tensors;  // by rising offset
};

// Parses `json` and checks that the tensors fill the data section of data_bytes exactly. Throws
// Error naming path and the offending field.
SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view json,
                                           std::uint64_t data_bytes);

// The bytes of a shape, or an Error when a dimension is negative or the product overflows.
std::uint64_t tensor_bytes(const std::string& path, const std::string& name, ElementType type,
                           const std::vector<std::int64_t>& shape);

// The file's start: length, JSON, spaces up to a multiple of 64 bytes.
std::string make_safetensors_header(const SafetensorsHeader& header);

}  // namespace mneme::io
