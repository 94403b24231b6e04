// The bytes of a source from front to back, decompressed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "io/posix_file.h"
#include "text/corpus/source.h"

namespace mneme::text {

// What is wrong with compressed bytes. Its text has neither the path nor a place: whoever counts
// the lines knows these.
class DamagedStream : public std::runtime_error {
 public:
  explicit DamagedStream(const std::string& what) : std::runtime_error(what) {}
};

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Fills `out`, less at the end of the source alone; the number of bytes. Throws Error when the
  // file cannot be read, DamagedStream when it cannot be decompressed.
  virtual std::size_t read(std::span<char> out) = 0;
  // Bytes of the file that were used so far.
  virtual std::uint64_t used_bytes() const = 0;
};

// The source's file, read in order. Throws Error when it is not as it was listed.
class SourceFile {
 public:
  explicit SourceFile(const Source& source);
  // Less than `out` at the end of the file alone.
  std::size_t read(std::span<char> out);
  // Goes on reading at a byte.
  void seek(std::uint64_t offset);
  std::uint64_t read_bytes() const { return read_; }

 private:
  std::string path_;
  io::Descriptor file_;
  std::uint64_t read_ = 0;
};

std::unique_ptr<ByteStream> make_plain_stream(const Source& source, std::uint64_t from);
// Members one behind the other; bytes behind them that are none are damage.
std::unique_ptr<ByteStream> make_gzip_stream(const Source& source);
// Frames one behind the other, skippable ones among them. A frame whose window needs more than 128
// MiB is refused.
std::unique_ptr<ByteStream> make_zstd_stream(const Source& source);

// from: a byte of the file to begin at, 0 for compressed ones.
std::unique_ptr<ByteStream> open_byte_stream(const Source& source, std::uint64_t from = 0);

}  // namespace mneme::text
