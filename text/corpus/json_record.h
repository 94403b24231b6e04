// The text of one line of JSON.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "text/corpus/text_window.h"

namespace mneme::text {

struct JsonRecordOptions {
  std::string field = "text";
  std::uint64_t most_bytes = std::uint64_t{64} << 20;  // of a line
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;
};

// For one thread: it keeps its memory from one record to the next, but for that of very long ones.
//
// The whole line has to be JSON. Of a key that is there twice the last one counts, as in Python.
// Numbers may be of any size. A \u escape that is half of a surrogate pair is text that is no
// UTF-8: an Error, or U+FFFD.
class JsonRecord {
 public:
  explicit JsonRecord(const JsonRecordOptions& options);
  ~JsonRecord();
  JsonRecord(JsonRecord&&) noexcept;
  JsonRecord& operator=(JsonRecord&&) noexcept;

  // The string of the field. REQUIRES: RawBatch::kPadding bytes behind the line may be read. Valid
  // until the next call. Throws Error naming path and line.
  std::string_view text_of(std::string_view json, const std::string& path, std::uint64_t line);
  // Whether the line has nothing but JSON's white space.
  static bool is_empty(std::string_view json);

 private:
  struct Parser;
  struct Place {
    const std::string& path;
    std::uint64_t line;
  };
  std::string_view find_field(const Place& place) const;
  void change(std::string changed);

  JsonRecordOptions options_;
  std::unique_ptr<Parser> parser_;
  std::string changed_;  // a line in which something was replaced, with padding
};

}  // namespace mneme::text
