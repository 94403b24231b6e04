// mneme tokenizer encode and decode.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/utf8.h"
#include "tools/mneme/tokenizer.h"

namespace mneme::tools {
namespace {

using Json = nlohmann::ordered_json;

// What an input is called in messages.
std::string name_of(const std::string& input) {
  return input == "-" ? "standard input" : input;
}

std::string read_standard_input() {
  std::string content;
  std::array<char, 1 << 16> block;
  while (const std::size_t bytes = std::fread(block.data(), 1, block.size(), stdin)) {
    content.append(block.data(), bytes);
  }
  if (std::ferror(stdin)) io::fail("standard input: cannot read: {}", io::errno_text(errno));
  return content;
}

std::string read_input(const std::string& input) {
  if (input == "-") return read_standard_input();
  const auto bytes =
      io::make_posix_disk()->read_file(input, std::numeric_limits<std::uint64_t>::max());
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Calls use(line, number) for each line that is not empty.
template <typename Use>
void for_each_line(std::string_view content, const Use& use) {
  for (std::size_t number = 1; !content.empty(); ++number) {
    const std::size_t end = content.find('\n');
    const std::string_view line = content.substr(0, end);
    content = end == content.npos ? std::string_view() : content.substr(end + 1);
    if (line.find_first_not_of(" \t\r") != line.npos) use(line, number);
  }
}

Json parse_line(std::string_view line, const std::string& input, std::size_t number) {
  Json value = Json::parse(line, nullptr, false);
  if (value.is_discarded()) io::fail("{}:{}: is no JSON", name_of(input), number);
  return value;
}

// Written in pieces, since there may be much of it.
class Output {
 public:
  ~Output() { write(); }
  std::string& text() {
    if (text_.size() > (std::size_t{1} << 16)) write();
    return text_;
  }

 private:
  void write() {
    fmt::print("{}", text_);
    text_.clear();
  }
  std::string text_;
};

void check_text(std::string_view text, const std::string& input) {
  const auto invalid = io::find_invalid_utf8(text);
  if (!invalid) return;
  const auto line =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(*invalid), '\n');
  io::fail("{}:{}: is not UTF-8 at byte {} of the text", name_of(input), line, *invalid);
}

void append_ids(const std::vector<std::int32_t>& ids, char between, std::string& out) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) out += between;
    fmt::format_to(std::back_inserter(out), "{}", ids[i]);
  }
}

// Where ids come from.
struct IdSource {
  const std::string& input;
  std::int64_t vocabulary = 0;  // ids beyond it are errors
};

[[noreturn]] void fail_outside(std::int64_t id, const IdSource& source, std::size_t number) {
  io::fail("{}:{}: token {} is outside the tokenizer's vocabulary of {}", name_of(source.input),
           number, id, source.vocabulary);
}

std::vector<std::int32_t> parse_ids(std::string_view content, const IdSource& source) {
  std::vector<std::int32_t> ids;
  for_each_line(content, [&](std::string_view line, std::size_t number) {
    const char* at = line.data();
    const char* const end = at + line.size();
    while (true) {
      while (at < end && (*at == ' ' || *at == '\t' || *at == '\r')) ++at;
      if (at == end) break;
      std::int32_t id = 0;
      const auto [stop, error] = std::from_chars(at, end, id);
      const bool is_whole = stop == end || *stop == ' ' || *stop == '\t' || *stop == '\r';
      if (error != std::errc() || !is_whole) {
        io::fail("{}:{}: \"{}\" is no token id", name_of(source.input), number,
                 io::printable(std::string_view(at, static_cast<std::size_t>(end - at)), 20));
      }
      if (id < 0 || id >= source.vocabulary) fail_outside(id, source, number);
      ids.push_back(id);
      at = stop;
    }
  });
  return ids;
}

std::vector<std::int32_t> ids_of(const Json& list, const IdSource& source, std::size_t number) {
  std::vector<std::int32_t> ids;
  if (!list.is_array()) io::fail("{}:{}: is no list of token ids", name_of(source.input), number);
  for (const Json& item : list) {
    // It is not written out, since it may be lists in lists without end.
    if (!item.is_number_integer()) {
      io::fail("{}:{}: entry {} of the list is no token id", name_of(source.input), number,
               ids.size() + 1);
    }
    const auto id = item.get<std::int64_t>();
    if (id < 0 || id >= source.vocabulary) fail_outside(id, source, number);
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

}  // namespace

int run_tokenizer_encode(const TokenizerEncodeOptions& options) {
  const auto tokenizer = open_tokenizer(options.tokenizer);
  const auto encoder = tokenizer->make_encoder();
  const text::EncodeOptions how{.special_in_text = !options.plain_special,
                                .add_special = options.adds_special};
  const std::string content = options.text ? *options.text : read_input(options.input);
  const std::string input = options.text ? "--text" : options.input;
  Output output;
  std::vector<std::int32_t> ids;
  if (!options.json_lines) {
    check_text(content, input);
    encoder->encode(content, how, ids);
    append_ids(ids, ' ', output.text());
    output.text() += '\n';
    return 0;
  }
  for_each_line(content, [&](std::string_view line, std::size_t number) {
    const Json value = parse_line(line, input, number);
    if (!value.is_string()) io::fail("{}:{}: is no JSON string", name_of(input), number);
    ids.clear();
    encoder->encode(value.get_ref<const std::string&>(), how, ids);
    std::string& out = output.text();
    out += '[';
    append_ids(ids, ',', out);
    out += "]\n";
  });
  return 0;
}

int run_tokenizer_decode(const TokenizerDecodeOptions& options) {
  const auto tokenizer = open_tokenizer(options.tokenizer);
  const std::string content = read_input(options.input);
  const IdSource source{options.input, tokenizer->vocabulary()};
  Output output;
  if (!options.json_lines) {
    output.text() += text::decode(*tokenizer, parse_ids(content, source), !options.skips_special);
    output.text() += '\n';
    return 0;
  }
  for_each_line(content, [&](std::string_view line, std::size_t number) {
    const auto ids = ids_of(parse_line(line, options.input, number), source, number);
    const std::string text = text::decode(*tokenizer, ids, !options.skips_special);
    output.text() += Json(text).dump() + "\n";
  });
  return 0;
}

}  // namespace mneme::tools
