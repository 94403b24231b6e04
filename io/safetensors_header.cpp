#include "io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "io/check.h"
#include "io/error.h"

namespace mneme::io {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::string_view kMetadataName = "__metadata__";
constexpr std::size_t kHeaderUnit = 64;

struct TypeName {
  std::string_view name;
  ElementType type;
};
constexpr std::array<TypeName, 8> kTypeNames = {{{"F64", ElementType::kF64},
                                                 {"F32", ElementType::kF32},
                                                 {"BF16", ElementType::kBF16},
                                                 {"F16", ElementType::kF16},
                                                 {"I64", ElementType::kI64},
                                                 {"I32", ElementType::kI32},
                                                 {"U32", ElementType::kU32},
                                                 {"U8", ElementType::kU8}}};

std::string_view name_of(ElementType type) {
  for (const TypeName& entry : kTypeNames) {
    if (entry.type == type) return entry.name;
  }
  CHECK(false, "element type {}", static_cast<int>(type));
  return {};
}

// Takes exactly the structure of a safetensors header and refuses all else as it comes, so that a
// hostile header cannot make a tree of it (deep nesting, huge numbers of values).
class HeaderParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderParser(const std::string& path) : path_(path) {}
  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("a boolean"); }
  bool number_float(double, const std::string&) override { return refuse("a fraction"); }
  bool number_integer(std::int64_t) override { return refuse("a negative number"); }
  bool binary(binary_t&) override { return refuse("binary data"); }

  bool number_unsigned(std::uint64_t value) override {
    if (place_ == Place::kShape) {
      if (value > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
        return refuse("a number beyond 63 bits");
      }
      tensor_.shape.push_back(static_cast<std::int64_t>(value));
    } else if (place_ == Place::kOffsets && offset_count_ < 2) {
      (offset_count_++ == 0 ? tensor_.begin : tensor_.end) = value;
    } else {
      return refuse("a number");
    }
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::kMetadata) {
      header_.metadata[field_] = value;
    } else if (place_ == Place::kTensor && field_ == "dtype") {
      const auto found = std::ranges::find(kTypeNames, value, &TypeName::name);
      if (found == kTypeNames.end()) {
        fail("{}: tensor '{}' has the element type '{}', which is not supported", path_,
             tensor_.name, value.substr(0, 40));
      }
      tensor_.type = found->type;
    } else {
      return refuse("a string");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTop && field_ == kMetadataName) {
      place_ = Place::kMetadata;
      fields_.clear();
    } else if (place_ == Place::kTop) {
      place_ = Place::kTensor;
      tensor_ = TensorInfo();
      tensor_.name = field_;
      fields_.clear();
      offset_count_ = 0;
    } else {
      return refuse("an object");
    }
    return true;
  }

  bool key(std::string& name) override {
    std::set<std::string>& seen = place_ == Place::kTop ? names_ : fields_;
    if (!seen.insert(name).second) {
      fail("{}: its header names '{}' twice", path_, name.substr(0, 200));
    }
    field_ = name;
    if (place_ == Place::kTensor && name != "dtype" && name != "shape" && name != "data_offsets") {
      fail("{}: tensor '{}' has an unknown field '{}'", path_, tensor_.name, name.substr(0, 40));
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) {
      for (const char* wanted : {"dtype", "shape", "data_offsets"}) {
        if (!fields_.contains(wanted))
          fail("{}: tensor '{}' has no {}", path_, tensor_.name, wanted);
      }
      header_.tensors.push_back(std::move(tensor_));
    }
    place_ = place_ == Place::kTop ? Place::kEnd : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && field_ == "shape") {
      place_ = Place::kShape;
    } else if (place_ == Place::kTensor && field_ == "data_offsets") {
      place_ = Place::kOffsets;
    } else {
      return refuse("an array");
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offset_count_ != 2) return refuse("a list of one number");
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail("{}: its header is not valid JSON at byte {}; the file is damaged", path_, position);
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kEnd };

  [[noreturn]] bool refuse(const char* found) {
    fail("{}: its header has {} where none belongs (at '{}'); not a safetensors file", path_, found,
         field_.substr(0, 200));
  }

  const std::string& path_;
  SafetensorsHeader header_;
  Place place_ = Place::kStart;
  std::string field_;
  TensorInfo tensor_;
  int offset_count_ = 0;
  std::set<std::string> names_;
  std::set<std::string> fields_;
};

}  // namespace

std::size_t element_bytes(ElementType type) {
  switch (type) {
    case ElementType::kF64:
    case ElementType::kI64:
      return 8;
    case ElementType::kF32:
    case ElementType::kI32:
    case ElementType::kU32:
      return 4;
    case ElementType::kBF16:
    case ElementType::kF16:
      return 2;
    case ElementType::kU8:
      return 1;
  }
  CHECK(false, "element type {}", static_cast<int>(type));
  return 0;
}

std::uint64_t tensor_bytes(const std::string& path, const std::string& name, ElementType type,
                           const std::vector<std::int64_t>& shape) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  std::uint64_t bytes = element_bytes(type);
  for (const std::int64_t size : shape) {
    if (size < 0) fail("{}: tensor '{}' has the negative size {}", path, name, size);
    if (size > 0 && bytes > kMax / static_cast<std::uint64_t>(size)) {
      fail("{}: the shape of tensor '{}' overflows", path, name);
    }
    bytes *= static_cast<std::uint64_t>(size);
  }
  return bytes;
}

SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view json,
                                           std::uint64_t data_bytes) {
  if (json.empty() || json.front() != '{') {
    fail("{}: its header does not start with '{{'; not a safetensors file", path);
  }
  // The parser would take it for the end of the header.
  if (const auto at = json.find('\0'); at != std::string_view::npos) {
    fail("{}: its header holds a zero byte at {}; not a safetensors file, or damaged", path, at);
  }
  HeaderParser parser(path);
  CHECK(nlohmann::json::sax_parse(json.begin(), json.end(), &parser));
  SafetensorsHeader header = parser.take();
  std::ranges::sort(header.tensors, {},
                    [](const TensorInfo& tensor) { return std::pair(tensor.begin, tensor.end); });
  std::uint64_t end = 0;
  for (const TensorInfo& tensor : header.tensors) {
    const std::uint64_t bytes = tensor_bytes(path, tensor.name, tensor.type, tensor.shape);
    if (tensor.begin != end || tensor.end < tensor.begin) {
      fail("{}: tensor '{}' lies at [{}, {}), but the one before it ends at {}", path, tensor.name,
           tensor.begin, tensor.end, end);
    }
    if (tensor.end - tensor.begin != bytes) {
      fail("{}: tensor '{}' has {} bytes, its shape needs {}", path, tensor.name,
           tensor.end - tensor.begin, bytes);
    }
    if (tensor.end > data_bytes) {
      fail("{}: tensor '{}' ends at byte {} of {}; the file is cut short", path, tensor.name,
           tensor.end, data_bytes);
    }
    end = tensor.end;
  }
  if (end != data_bytes) fail("{}: {} bytes belong to no tensor", path, data_bytes - end);
  return header;
}

std::string make_safetensors_header(const SafetensorsHeader& header) {
  nlohmann::ordered_json root = nlohmann::ordered_json::object();
  if (!header.metadata.empty()) root[std::string(kMetadataName)] = header.metadata;
  for (const TensorInfo& tensor : header.tensors) {
    // Made whole and moved: the library cannot undo an object that memory ran out for half-way.
    root[tensor.name] = {
        {"dtype", std::string(name_of(tensor.type))},
        {"shape", tensor.shape},
        {"data_offsets", nlohmann::ordered_json::array({tensor.begin, tensor.end})}};
  }
  std::string json = root.dump();
  const std::size_t used = sizeof(std::uint64_t) + json.size();
  json.append((kHeaderUnit - used % kHeaderUnit) % kHeaderUnit, ' ');
  const std::uint64_t length = json.size();
  std::string start(sizeof(length), '\0');
  std::memcpy(start.data(), &length, sizeof(length));
  return start + json;
}

}  // namespace mneme::io
