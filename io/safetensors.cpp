#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <set>
#include <utility>

#include "io/aligned_buffer.h"
#include "io/check.h"
#include "io/error.h"
#include "io/file_io.h"
#include "io/round_up.h"
#include "io/safetensors_header.h"
#include "io/sequential_file.h"

namespace mneme::io {
namespace {

// Tensors pass through a buffer of this size, whatever their own.
constexpr std::size_t kStagingBytes = std::size_t{1} << 20;

float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1f;
  const std::uint32_t fraction = half & 0x3ff;
  if (exponent == 0) {
    // Zero or subnormal: the fraction counts units of 2^-24.
    const float magnitude = static_cast<float>(fraction) * 0x1.0p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide_exponent = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide_exponent << 23 | fraction << 13);
}

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

template <typename Out>
Out load_float(ElementType type, const std::byte* at) {
  switch (type) {
    case ElementType::kF64:
      return static_cast<Out>(load<double>(at));
    case ElementType::kF32:
      return static_cast<Out>(load<float>(at));
    case ElementType::kBF16:
      return static_cast<Out>(
          std::bit_cast<float>(static_cast<std::uint32_t>(load<std::uint16_t>(at)) << 16));
    default:
      return static_cast<Out>(half_to_float(load<std::uint16_t>(at)));
  }
}

std::int64_t load_integer(ElementType type, const std::byte* at) {
  switch (type) {
    case ElementType::kI64:
      return load<std::int64_t>(at);
    case ElementType::kI32:
      return load<std::int32_t>(at);
    case ElementType::kU32:
      return load<std::uint32_t>(at);
    default:
      return load<std::uint8_t>(at);
  }
}

bool is_float(ElementType type) {
  return type == ElementType::kF64 || type == ElementType::kF32 || type == ElementType::kBF16 ||
         type == ElementType::kF16;
}

}  // namespace

std::int64_t TensorInfo::element_count() const {
  return static_cast<std::int64_t>((end - begin) / element_bytes(type));
}

struct SafetensorsReader::State {
  std::string path;
  std::unique_ptr<BlockFile> file;
  std::uint64_t data_begin = 0;
  SafetensorsHeader header;
  std::map<std::string, std::size_t, std::less<>> index;
  AlignedBuffer staging;

  // Reads [offset, offset + bytes) of the file and hands it out in pieces, each but the last a
  // multiple of 8 bytes long.
  void read(std::uint64_t offset, std::uint64_t bytes,
            const std::function<void(std::span<const std::byte>)>& use) {
    const std::uint64_t alignment = file->alignment();
    const std::uint64_t end = offset + bytes;
    while (offset < end) {
      const std::uint64_t first = offset / alignment * alignment;
      std::uint64_t piece = std::min(end, first + staging.size()) - offset;
      if (offset + piece < end) piece = piece / 8 * 8;
      const std::uint64_t last = round_up(offset + piece, alignment);
      read_blocks(*file, first, staging.span().first(last - first));
      use({staging.data() + (offset - first), piece});
      offset += piece;
    }
  }
};

SafetensorsReader::SafetensorsReader(Disk& disk, const std::string& path)
    : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->file = disk.open(path, read_once_options());
  state_->staging = AlignedBuffer(kStagingBytes, state_->file->alignment());
  const std::uint64_t file_bytes = state_->file->size_bytes();
  std::uint64_t length = 0;
  if (file_bytes < sizeof(length)) {
    fail("{}: too short for a safetensors file ({} bytes)", path, file_bytes);
  }
  state_->read(0, sizeof(length), [&](std::span<const std::byte> piece) {
    std::memcpy(&length, piece.data(), sizeof(length));
  });
  if (length > kMaxSafetensorsHeaderBytes || length > file_bytes - sizeof(length)) {
    fail("{}: its header claims {} bytes of {}; not a safetensors file, or cut short", path, length,
         file_bytes);
  }
  std::string json;
  json.reserve(length);
  state_->read(sizeof(length), length, [&](std::span<const std::byte> piece) {
    json.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  });
  state_->data_begin = sizeof(length) + length;
  state_->header = parse_safetensors_header(path, json, file_bytes - state_->data_begin);
  for (std::size_t i = 0; i < state_->header.tensors.size(); ++i) {
    state_->index[state_->header.tensors[i].name] = i;
  }
}

SafetensorsReader::~SafetensorsReader() = default;
SafetensorsReader::SafetensorsReader(SafetensorsReader&&) noexcept = default;

const std::string& SafetensorsReader::path() const {
  return state_->path;
}
const std::map<std::string, std::string>& SafetensorsReader::metadata() const {
  return state_->header.metadata;
}
const std::vector<TensorInfo>& SafetensorsReader::tensors() const {
  return state_->header.tensors;
}

bool SafetensorsReader::contains(std::string_view name) const {
  return state_->index.find(name) != state_->index.end();
}

const TensorInfo& SafetensorsReader::info(std::string_view name) const {
  const auto found = state_->index.find(name);
  if (found == state_->index.end()) fail("{}: has no tensor '{}'", state_->path, name);
  return state_->header.tensors[found->second];
}

void SafetensorsReader::read(const TensorInfo& info, std::span<std::byte> out) const {
  CHECK(out.size() == info.end - info.begin, "{} bytes for {}", out.size(), info.name);
  std::byte* at = out.data();
  state_->read(state_->data_begin + info.begin, out.size(), [&](std::span<const std::byte> piece) {
    std::memcpy(at, piece.data(), piece.size());
    at += piece.size();
  });
}

namespace {

// Reads a tensor piece by piece and converts each element with `convert(type, address)`.
template <typename Out, typename State, typename Convert>
std::vector<Out> read_converted(State& state, const TensorInfo& info, Convert convert) {
  std::vector<Out> out;
  out.reserve(static_cast<std::size_t>(info.element_count()));
  const std::size_t step = element_bytes(info.type);
  state.read(state.data_begin + info.begin, info.end - info.begin,
             [&](std::span<const std::byte> piece) {
               for (std::size_t at = 0; at < piece.size(); at += step) {
                 out.push_back(convert(info.type, piece.data() + at));
               }
             });
  return out;
}

void require_kind(const std::string& path, const TensorInfo& info, bool wants_float) {
  if (is_float(info.type) == wants_float) return;
  fail("{}: tensor '{}' does not hold {}", path, info.name,
       wants_float ? "floating-point numbers" : "integers");
}

}  // namespace

std::vector<double> SafetensorsReader::read_f64(std::string_view name) const {
  const TensorInfo& tensor = info(name);
  require_kind(path(), tensor, true);
  return read_converted<double>(*state_, tensor, load_float<double>);
}

std::vector<float> SafetensorsReader::read_f32(std::string_view name) const {
  const TensorInfo& tensor = info(name);
  require_kind(path(), tensor, true);
  return read_converted<float>(*state_, tensor, load_float<float>);
}

std::vector<std::int64_t> SafetensorsReader::read_i64(std::string_view name) const {
  const TensorInfo& tensor = info(name);
  require_kind(path(), tensor, false);
  return read_converted<std::int64_t>(*state_, tensor, load_integer);
}

struct SafetensorsWriter::State {
  SequentialWriter file;
};

SafetensorsWriter::SafetensorsWriter(Disk& disk, const std::string& path,
                                     std::vector<Declaration> tensors,
                                     std::map<std::string, std::string> metadata) {
  SafetensorsHeader header;
  header.metadata = std::move(metadata);
  std::set<std::string> names = {"__metadata__"};
  std::uint64_t end = 0;
  for (Declaration& tensor : tensors) {
    CHECK(names.insert(tensor.name).second, "{}: tensor '{}' twice", path, tensor.name);
    const std::uint64_t begin = end;
    end += tensor_bytes(path, tensor.name, tensor.type, tensor.shape);
    header.tensors.push_back(
        {std::move(tensor.name), tensor.type, std::move(tensor.shape), begin, end});
  }
  const std::string start = make_safetensors_header(header);
  if (start.size() - sizeof(std::uint64_t) > kMaxSafetensorsHeaderBytes) {
    fail("{}: a header of {} bytes; write fewer tensors into one file", path, start.size());
  }
  state_ = std::make_unique<State>(SequentialWriter(disk, path, start.size() + end));
  state_->file.append(std::as_bytes(std::span(start)));
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  state_->file.append(bytes);
}

void SafetensorsWriter::finish() {
  state_->file.finish();
}

}  // namespace mneme::io
