#include "io/megatron_layout.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <span>

#include "io/check.h"
#include "io/error.h"

namespace mneme::io {
namespace {

constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kVersionAt = 9, kTypeAt = 17, kSequencesAt = 18, kIndicesAt = 26;

struct TypeCode {
  std::uint8_t code;
  TokenType type;
};
constexpr TypeCode kTypeCodes[] = {{1, TokenType::kUint8}, {2, TokenType::kInt8},
                                   {3, TokenType::kInt16}, {4, TokenType::kInt32},
                                   {5, TokenType::kInt64}, {8, TokenType::kUint16}};

template <typename T>
T number_at(const MegatronHeader& header, std::size_t at) {
  T value;
  std::memcpy(&value, header.data() + at, sizeof(value));
  return value;
}
template <typename T>
void set_number(MegatronHeader& header, std::size_t at, T value) {
  std::memcpy(header.data() + at, &value, sizeof(value));
}

// The numbers of one part of an index, one after the other.
template <typename T>
class Numbers {
 public:
  Numbers(const RandomAccessFile& file, std::uint64_t offset, std::uint64_t count)
      : file_(file), offset_(offset), left_(count) {}
  // REQUIRES: not more often than there are numbers.
  T next() {
    if (used_ == block_.size()) {
      block_.resize(std::min(left_, kBlock));
      CHECK(!block_.empty());
      file_.read(offset_, std::as_writable_bytes(std::span(block_)));
      offset_ += block_.size() * sizeof(T);
      left_ -= block_.size();
      used_ = 0;
    }
    return block_[used_++];
  }

 private:
  static constexpr std::uint64_t kBlock = 16384;
  const RandomAccessFile& file_;
  std::uint64_t offset_, left_;
  std::vector<T> block_;
  std::size_t used_ = 0;
};

}  // namespace

std::string megatron_index_path(const std::string& path) {
  return std::filesystem::path(path).replace_extension(".idx").string();
}

bool has_megatron_index(const std::string& path) {
  const std::string index = megatron_index_path(path);
  std::error_code ignored;  // what cannot be looked at is no index
  if (index == path || !std::filesystem::is_regular_file(index, ignored)) return false;
  const RandomAccessFile file(index);
  std::string front(kMagic.size(), '\0');
  if (file.size_bytes() < front.size()) return false;
  file.read(0, std::as_writable_bytes(std::span(front)));
  return front == kMagic;
}

MegatronHeader make_megatron_header(TokenType type, std::uint64_t documents) {
  const auto code = std::ranges::find(kTypeCodes, type, &TypeCode::type);
  CHECK(code != std::end(kTypeCodes));
  MegatronHeader header = {};
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  set_number(header, kVersionAt, kVersion);
  set_number(header, kTypeAt, code->code);
  set_number(header, kSequencesAt, documents);
  set_number(header, kIndicesAt, documents + 1);
  return header;
}

MegatronIndex::MegatronIndex(const std::string& path, std::uint64_t data_bytes)
    : file_(megatron_index_path(path)) {
  read_header();
  check_sequences(data_bytes);
  check_documents();
  for_each_document([&](std::uint64_t) { ++documents_; });
}

void MegatronIndex::read_header() {
  MegatronHeader header;
  const std::uint64_t bytes = file_.size_bytes();
  if (bytes < sizeof(header)) {
    fail("{}: no index of tokens ({} bytes, the header alone has {})", file_.path(), bytes,
         sizeof(header));
  }
  file_.read(0, header);
  if (std::memcmp(header.data(), kMagic.data(), kMagic.size()) != 0) {
    fail("{}: no index of tokens: it does not begin with MMIDIDX", file_.path());
  }
  if (const auto version = number_at<std::uint64_t>(header, kVersionAt); version != kVersion) {
    fail("{}: index of version {}, this program reads {}", file_.path(), version, kVersion);
  }
  const int code = number_at<std::uint8_t>(header, kTypeAt);
  const auto type = std::ranges::find(kTypeCodes, code, &TypeCode::code);
  if (type == std::end(kTypeCodes)) {
    fail("{}: type {} of a token is none of integers (1 to 5, and 8)", file_.path(), code);
  }
  type_ = type->type;
  sequences_ = number_at<std::uint64_t>(header, kSequencesAt);
  indices_ = number_at<std::uint64_t>(header, kIndicesAt);
  // Neither may be multiplied before it is known to be small.
  const bool small = sequences_ <= bytes / 12 && indices_ <= bytes / 8;
  if (!small || bytes != documents_offset() + 8 * indices_) {
    fail(
        "{}: its {} bytes are not those of {} sequences and {} document indices; the index is cut "
        "short or damaged",
        file_.path(), bytes, sequences_, indices_);
  }
}

void MegatronIndex::check_sequences(std::uint64_t data_bytes) {
  const auto token_bytes = static_cast<std::uint64_t>(bytes_of(type_));
  Numbers<std::int32_t> lengths(file_, kMegatronHeaderBytes, sequences_);
  Numbers<std::int64_t> pointers(file_, pointers_offset(), sequences_);
  for (std::uint64_t i = 0; i < sequences_; ++i) {
    const std::int32_t length = lengths.next();
    const std::int64_t pointer = pointers.next();
    if (length < 0) {
      fail("{}: sequence {} has {} tokens; the index is damaged", file_.path(), i, length);
    }
    if (pointer < 0 || static_cast<std::uint64_t>(pointer) != tokens_ * token_bytes) {
      fail(
          "{}: sequence {} begins at byte {}, not behind the one before, at {}; the index is "
          "damaged",
          file_.path(), i, pointer, tokens_ * token_bytes);
    }
    tokens_ += static_cast<std::uint64_t>(length);
    if (tokens_ > data_bytes / token_bytes) break;  // nothing overflows
  }
  if (data_bytes != tokens_ * token_bytes) {
    fail(
        "{}: its sequences have other lengths than the {} bytes beside it in .bin; one of the two "
        "is cut short or damaged, or of other data",
        file_.path(), data_bytes);
  }
  if (tokens_ == 0) fail("{}: there are no tokens", file_.path());
}

void MegatronIndex::check_documents() {
  Numbers<std::int64_t> begins(file_, documents_offset(), indices_);
  std::uint64_t last = 0;
  for (std::uint64_t i = 0; i < indices_; ++i) {
    const std::int64_t begin = begins.next();
    const bool ascends = begin >= 0 && static_cast<std::uint64_t>(begin) >= last &&
                         static_cast<std::uint64_t>(begin) <= sequences_ && (i > 0 || begin == 0);
    if (!ascends) {
      fail("{}: document {} begins with sequence {} (behind {}, of {}); the index is damaged",
           file_.path(), i, begin, last, sequences_);
    }
    last = static_cast<std::uint64_t>(begin);
  }
  if (last != sequences_) {
    fail("{}: its documents end with sequence {} of {}; the index is damaged", file_.path(), last,
         sequences_);
  }
}

template <typename Body>
void MegatronIndex::for_each_document(const Body& body) const {
  Numbers<std::int32_t> lengths(file_, kMegatronHeaderBytes, sequences_);
  Numbers<std::int64_t> begins(file_, documents_offset(), indices_);
  std::uint64_t sequence = 0, end = 0;
  for (std::uint64_t i = 0; i < indices_; ++i) {
    const std::uint64_t before = end;
    // The index may have changed since it was checked.
    const auto next = std::min(static_cast<std::uint64_t>(begins.next()), sequences_);
    for (; sequence < next; ++sequence) end += static_cast<std::uint64_t>(lengths.next());
    if (end > before) body(end);
  }
}

std::vector<std::uint64_t> MegatronIndex::document_ends(std::size_t most) const {
  CHECK(most > 0);
  const std::uint64_t every = (documents_ + most - 1) / most;
  std::vector<std::uint64_t> ends;
  std::uint64_t document = 0;
  for_each_document([&](std::uint64_t end) {
    if (++document % every == 0 || document == documents_) ends.push_back(end);
  });
  return ends;
}

}  // namespace mneme::io
