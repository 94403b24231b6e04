#include <filesystem>
#include <utility>

#include "io/disk.h"
#include "io/error.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tiktoken_file.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"

namespace mneme::text {
namespace {

// The largest published ones have a tenth of it.
constexpr std::uint64_t kMostFileBytes = std::uint64_t{256} << 20;

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path, const std::string& encoding) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    io::fail(
        "{}: is a folder; name the tokenizer's file in it (tokenizer.json, tokenizer.model, "
        "*.tiktoken)",
        path);
  }
  const std::vector<std::byte> bytes = io::make_posix_disk()->read_file(path, kMostFileBytes);
  std::string content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (content.empty()) io::fail("{}: the tokenizer's file is empty", path);
  const std::size_t begin = content.find_first_not_of(" \t\r\n");
  if (begin != std::string::npos && content[begin] == '{') {
    return make_byte_pair_tokenizer(parse_tokenizer_json(std::move(content), path));
  }
  if (is_tiktoken(content)) {
    return make_byte_pair_tokenizer(parse_tiktoken(std::move(content), path, encoding));
  }
  return parse_sentencepiece(std::move(content), path);
}

}  // namespace mneme::text
