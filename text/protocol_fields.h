// Reads the fields of a protocol buffer one behind the other, as the files of SentencePiece models
// are written.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

namespace mneme::text {

class ProtocolFields {
 public:
  enum class Wire { kNumber = 0, k64Bits = 1, kBytes = 2, k32Bits = 5 };

  explicit ProtocolFields(std::string_view message) : rest_(message) {}

  // Reads the next field; false at the end, and where the rest is no field.
  bool next() {
    bytes = {};
    number = 0;
    if (rest_.empty()) return false;
    std::uint64_t key = 0;
    if (!read_varint(key) || key > std::numeric_limits<std::uint32_t>::max() || !read(key & 7)) {
      is_damaged_ = true;
      return false;
    }
    field_ = key >> 3;
    wire_ = static_cast<Wire>(key & 7);
    return true;
  }
  // Whether next() has come to what is no field. Groups, which nobody has written for many years,
  // count as none.
  bool is_damaged() const { return is_damaged_; }

  // Whether the field that was read is this one: a reader passes over one of another type.
  bool is(std::uint64_t field, Wire type) const { return field == field_ && type == wire_; }

  std::string_view bytes;    // of all but numbers
  std::uint64_t number = 0;  // of a number

 private:
  bool read(std::uint64_t wire_type) {
    switch (wire_type) {
      case 0:
        return read_varint(number);
      case 1:
        return take(8);
      case 2: {
        std::uint64_t size = 0;
        return read_varint(size) && take(size);
      }
      case 5:
        return take(4);
      default:
        return false;
    }
  }
  bool read_varint(std::uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool take(std::uint64_t size) {
    if (size > rest_.size()) return false;
    bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_;
  std::uint64_t field_ = 0;
  Wire wire_ = Wire::kNumber;
  bool is_damaged_ = false;
};

}  // namespace mneme::text
