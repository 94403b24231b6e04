// Reader and writer of the safetensors format: an 8-byte little-endian header length, a JSON
// header, then the tensors' bytes. Hostile headers are rejected before anything of their size is
// allocated. Format: https://github.com/huggingface/safetensors (README, "Format").
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/disk.h"

namespace mneme::io {

enum class ElementType { kF64, kF32, kBF16, kF16, kI64, kI32, kU32, kU8 };
std::size_t element_bytes(ElementType type);

struct TensorInfo {
  std::string name;
  ElementType type = ElementType::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // bytes from the start of the data section
  std::uint64_t end = 0;
  std::int64_t element_count() const;
};

// An opened file; tensors are read on demand. Throws Error naming path and the offending field.
class SafetensorsReader {
 public:
  SafetensorsReader(Disk& disk, const std::string& path);
  ~SafetensorsReader();
  SafetensorsReader(SafetensorsReader&&) noexcept;

  const std::string& path() const;
  const std::map<std::string, std::string>& metadata() const;
  const std::vector<TensorInfo>& tensors() const;
  bool contains(std::string_view name) const;
  // Throws Error when there is no such tensor.
  const TensorInfo& info(std::string_view name) const;
  // The raw bytes of one tensor. out.size() must be end - begin.
  void read(const TensorInfo& info, std::span<std::byte> out) const;
  // Converted to the type asked for (from any float type; from any integer type).
  std::vector<double> read_f64(std::string_view name) const;
  std::vector<float> read_f32(std::string_view name) const;
  std::vector<std::int64_t> read_i64(std::string_view name) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Writes a file in one forward pass: declare every tensor first, then append their bytes in order.
// The file appears under its path in finish(), whole and durable; until then it is written aside,
// and it is removed when the writer goes without finish(). A file that had the name stays until
// then, and for good when something fails.
class SafetensorsWriter {
 public:
  struct Declaration {
    std::string name;
    ElementType type = ElementType::kF32;
    std::vector<std::int64_t> shape;
  };
  SafetensorsWriter(Disk& disk, const std::string& path, std::vector<Declaration> tensors,
                    std::map<std::string, std::string> metadata);
  ~SafetensorsWriter();
  // Appends bytes of the current tensor; a tensor may come in several pieces.
  void append(std::span<const std::byte> bytes);
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mneme::io
