// A tokenizer.json that is small enough to know by heart: bytes, a few merges, an end of text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "text/byte_alphabet.h"

namespace mneme::testing {

struct SmallTokenizer {
  // In the alphabet of byte-level tokenizers, in which a space is "\xc4\xa0".
  std::vector<std::pair<std::string, std::string>> merges = {
      {"t", "h"}, {"th", "e"}, {"r", "o"}, {"ro", "w"}, {"\xc4\xa0", "row"}};
  bool has_end = true;  // <|endoftext|>, the last id

  std::int32_t vocabulary() const {
    return 256 + static_cast<std::int32_t>(merges.size()) + (has_end ? 1 : 0);
  }
  std::int32_t end() const { return vocabulary() - 1; }
  // Bytes have their own values as ids, and merges follow in their order.
  std::string json() const {
    std::string vocabulary_json, merges_json;
    std::int32_t id = 0;
    const auto add = [&](const std::string& token) {
      const bool is_escaped = token == "\"" || token == "\\";
      vocabulary_json += (id == 0 ? "\"" : ", \"") + std::string(is_escaped ? "\\" : "") + token +
                         "\": " + std::to_string(id);
      ++id;
    };
    for (const std::string& character : text::byte_characters()) add(character);
    for (const auto& [left, right] : merges) {
      add(left + right);
      merges_json += (merges_json.empty() ? "\"" : ", \"") + left + " " + right + "\"";
    }
    const std::string added =
        has_end
            ? "{\"id\": " + std::to_string(id) +
                  ", \"content\": \"<|endoftext|>\", \"special\": true, \"single_word\": false, "
                  "\"lstrip\": false, \"rstrip\": false, \"normalized\": false}"
            : "";
    return "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": [" +
           added +
           "], \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
           "\"add_prefix_space\": false, \"use_regex\": true}, \"post_processor\": null, "
           "\"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {" +
           vocabulary_json + "}, \"merges\": [" + merges_json + "]}}\n";
  }
  // The path.
  std::string write(const std::string& path) const {
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    if (!folder.empty()) std::filesystem::create_directories(folder);
    std::ofstream(path, std::ios::binary) << json();
    return path;
  }
};

}  // namespace mneme::testing
