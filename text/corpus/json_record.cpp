#include "text/corpus/json_record.h"

#include <simdjson.h>

#include <new>
#include <optional>

#include "io/error.h"
#include "io/utf8.h"
#include "text/corpus/json_repair.h"
#include "text/corpus/raw_batch.h"

namespace mneme::text {
namespace {

static_assert(RawBatch::kPadding >= simdjson::SIMDJSON_PADDING);

// Lines of which the parser's memory is kept: it is a multiple of theirs.
constexpr std::size_t kKeptBytes = std::size_t{1} << 20;

std::string words_of(simdjson::error_code error) {
  switch (error) {
    case simdjson::UNCLOSED_STRING:
    case simdjson::UNESCAPED_CHARS:
      return "a string is not closed, or has a control character that is not escaped";
    case simdjson::STRING_ERROR:
      return "a string has a wrong escape";
    case simdjson::DEPTH_ERROR:
      return "too many objects or arrays are in each other";
    case simdjson::NUMBER_ERROR:
      return "a number is not written as JSON's are";
    default:
      return "it is cut short, or has a wrong bracket, comma or word";
  }
}

}  // namespace

struct JsonRecord::Parser {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
};

JsonRecord::JsonRecord(const JsonRecordOptions& options)
    : options_(options), parser_(std::make_unique<Parser>()) {}
JsonRecord::~JsonRecord() = default;
JsonRecord::JsonRecord(JsonRecord&&) noexcept = default;
JsonRecord& JsonRecord::operator=(JsonRecord&&) noexcept = default;

bool JsonRecord::is_empty(std::string_view json) {
  return json.find_first_not_of(" \t\r\n") == json.npos;
}

void JsonRecord::change(std::string changed) {
  changed_ = std::move(changed);
  changed_.append(RawBatch::kPadding, '\0');
}

std::string_view JsonRecord::text_of(std::string_view json, const std::string& path,
                                     std::uint64_t line) {
  const Place place{path, line};
  if (json.size() > options_.most_bytes) {
    io::fail("{}: line {}: a record of more than {} bytes; allow more with --max-document-bytes",
             path, line, options_.most_bytes);
  }
  if (parser_->parser.capacity() > kKeptBytes) parser_ = std::make_unique<Parser>();
  // Each of these is done at most once, and makes another error of the line, or none.
  for (bool checked_utf8 = false, checked_numbers = false, checked_surrogates = false;;) {
    const auto error = parser_->parser.parse(json.data(), json.size(), false).get(parser_->root);
    if (error == simdjson::SUCCESS) return find_field(place);
    if (error == simdjson::MEMALLOC) throw std::bad_alloc();
    std::optional<std::string> changed;
    if (error == simdjson::UTF8_ERROR && !checked_utf8) {
      checked_utf8 = true;
      if (options_.invalid_utf8 == InvalidUtf8::kError) {
        io::fail(
            "{}: line {}: has bytes that are no UTF-8; convert the file (iconv), or replace "
            "them with --invalid-utf8 replace",
            path, line);
      }
      io::append_valid_utf8(json, changed.emplace());
    } else if (error == simdjson::NUMBER_ERROR && !checked_numbers) {
      checked_numbers = true;
      changed = without_numbers(json);
    } else if (error == simdjson::STRING_ERROR && !checked_surrogates) {
      checked_surrogates = true;
      changed = without_lone_surrogates(json);
      if (changed && options_.invalid_utf8 == InvalidUtf8::kError) {
        io::fail(
            "{}: line {}: has a \\u escape that is half of a surrogate pair, which is no "
            "text; replace such ones with --invalid-utf8 replace",
            path, line);
      }
    }
    if (!changed) {
      io::fail("{}: line {}: is no JSON: {}; write one whole record a line", path, line,
               words_of(error));
    }
    change(std::move(*changed));
    json = std::string_view(changed_).substr(0, changed_.size() - RawBatch::kPadding);
  }
}

std::string_view JsonRecord::find_field(const Place& place) const {
  simdjson::dom::object object;
  if (parser_->root.get(object) != simdjson::SUCCESS) {
    io::fail("{}: line {}: the record is no object; write one as {{\"{}\": \"...\"}}", place.path,
             place.line, io::printable(options_.field));
  }
  std::optional<simdjson::dom::element> found;
  for (const auto& field : object) {
    if (field.key == options_.field) found = field.value;
  }
  if (!found) {
    io::fail("{}: line {}: the record has no field \"{}\"; name the one with the text with --field",
             place.path, place.line, io::printable(options_.field));
  }
  std::string_view text;
  if (found->get(text) != simdjson::SUCCESS) {
    io::fail("{}: line {}: the field \"{}\" is no string; name the one with the text with --field",
             place.path, place.line, io::printable(options_.field));
  }
  return text;
}

}  // namespace mneme::text
