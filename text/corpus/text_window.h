// A stretch of a source's text that grows at its end and is consumed at its front.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "io/enum_names.h"
#include "text/corpus/byte_stream.h"
#include "text/corpus/source.h"

namespace mneme::text {

enum class InvalidUtf8 {
  kError,    // an Error naming file and line
  kReplace,  // U+FFFD, as io::append_valid_utf8
};

constexpr auto enum_names(InvalidUtf8) {
  return std::to_array<io::EnumName<InvalidUtf8>>(
      {{"error", InvalidUtf8::kError}, {"replace", InvalidUtf8::kReplace}});
}

// A byte order mark at the start of the source is no part of the text. Bytes of the text are
// counted as the window shows them, behind that mark and after replacements.
class TextWindow {
 public:
  enum class Content {
    kBytes,  // as they are: somebody else looks whether they are UTF-8
    kUtf8,   // valid, or as `invalid_utf8` says
  };
  // Where a window begins: so many bytes of the text, and the number of the line there, from 1.
  struct Start {
    std::uint64_t offset = 0;
    std::uint64_t line = 1;
  };
  // The source must outlive the window. `stop` ends the reading of what lies before the start: the
  // window is then of no use.
  TextWindow(const Source& source, Content content, InvalidUtf8 invalid_utf8, const Start& start,
             const std::stop_token& stop);

  // Reads until at least `bytes` are there, or all that is left. Returns everything that is there;
  // valid until the next call.
  std::string_view ensure(std::size_t bytes);
  // Whether nothing follows what ensure() has returned.
  bool is_whole() const { return is_at_end_; }
  // Drops bytes from the front. REQUIRES: they were returned by ensure().
  void consume(std::size_t bytes);

  std::uint64_t offset() const { return offset_; }  // of the front
  std::uint64_t line() const { return line_; }      // of the front
  // The number of the line that has the byte so far behind the front.
  std::uint64_t line_at(std::size_t bytes) const;
  const Source& source() const { return source_; }
  // Bytes of the file that were used so far.
  std::uint64_t used_bytes() const { return stream_->used_bytes(); }

 private:
  std::string_view there() const;
  void read_block();
  void drop_byte_order_mark();
  void validate();
  void skip_to(const Start& start, const std::stop_token& stop);

  const Source& source_;
  Content content_;
  InvalidUtf8 invalid_utf8_;
  std::unique_ptr<ByteStream> stream_;
  std::string buffer_;
  std::size_t front_ = 0;    // of the window, in buffer_
  std::size_t checked_ = 0;  // its end, in buffer_; what follows is half a character
  bool is_at_end_ = false;   // of the source
  std::uint64_t offset_ = 0;
  std::uint64_t line_ = 1;
};

// Line feeds in a text.
std::uint64_t count_lines(std::string_view text);

}  // namespace mneme::text
