#include "text/prepare/request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "io/checksum.h"
#include "io/enum_names.h"
#include "io/error.h"
#include "io/utf8.h"

namespace mneme::text {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kRequestVersion = 1;
constexpr int kDatasetVersion = 1;

std::string text_of(const std::string& bytes) {
  return io::bytes_to_utf8(bytes);
}

json separator_json(std::optional<std::int32_t> separator) {
  return separator ? json(*separator) : json(nullptr);
}

std::string checksum_of(const Tokenizer& tokenizer) {
  return fmt::format("{:016x}", io::checksum64(tokenizer.file_content()));
}

// The options that decide what the files hold, by the names of the command line.
template <typename Json>
Json options_json(const PrepareOptions& options, std::optional<std::int32_t> separator) {
  Json written;
  written["layout"] = io::name_of(options.layout);
  written["field"] = text_of(options.field);
  written["separator"] = separator_json(separator);
  written["document-separator"] =
      options.document_separator ? Json(text_of(*options.document_separator)) : Json(nullptr);
  written["validation-share"] = options.validation_share;
  written["seed"] = options.seed;
  written["shard-tokens"] = options.shard_tokens;
  written["max-document-bytes"] = options.most_record_bytes;
  written["invalid-utf8"] = io::name_of(options.invalid_utf8);
  written["plain-special"] = !options.special_in_text;
  return written;
}

ordered_json part_json(const DatasetPart& part) {
  ordered_json written;
  written["documents"] = part.counts.documents;
  written["tokens"] = part.counts.tokens;
  written["text_bytes"] = part.counts.text_bytes;
  written["files"] = ordered_json::array();
  for (const ShardedTokens::File& file : part.files) {
    written["files"].push_back({{"name", part.folder + "/" + file.name}, {"tokens", file.tokens}});
  }
  return written;
}

[[noreturn]] void refuse(const std::string& output, const std::string& difference) {
  io::fail(
      "{}: work on it has begun {}; go on with what it was begun with, or begin anew with "
      "--restart",
      output, difference);
}

void check_same_sources(const json& begun, const json& asked, const std::string& output) {
  for (std::size_t i = 0; i < begun.size() && i < asked.size(); ++i) {
    if (begun[i] == asked[i]) continue;
    const std::string path = begun[i].value("path", "");
    refuse(output,
           path == asked[i].value("path", "")
               ? fmt::format("when {} was another file: it has changed", io::printable(path))
               : fmt::format("with {} in place of {}", io::printable(path),
                             io::printable(asked[i].value("path", ""))));
  }
  if (begun.size() != asked.size()) {
    refuse(output,
           fmt::format("with {} files to read, now there are {}", begun.size(), asked.size()));
  }
}

}  // namespace

json request_json(const PrepareOptions& options, const Tokenizer& tokenizer, const SourceList& list,
                  std::optional<std::int32_t> separator) {
  json request;
  request["format"] = "mneme prepare";
  request["version"] = kRequestVersion;
  request["program"] = options.program;
  request["tokenizer"] = {{"kind", tokenizer.kind()},
                          {"vocabulary", tokenizer.vocabulary()},
                          {"encoding", options.encoding},
                          {"checksum", checksum_of(tokenizer)}};
  request["options"] = options_json<json>(options, separator);
  request["sources"] = json::array();
  for (const Source& source : list.sources) {
    request["sources"].push_back({{"path", text_of(source.path)},
                                  {"bytes", source.bytes},
                                  {"modified_ns", source.modified_ns}});
  }
  return request;
}

void check_same_request(const json& begun, const json& asked, const std::string& output) {
  for (const char* key : {"format", "version", "program"}) {
    if (begun.value(key, json()) == asked.at(key)) continue;
    refuse(output, fmt::format("by {}, which is not this program",
                               begun.value("program", json("another program")).dump()));
  }
  for (const char* group : {"options", "tokenizer"}) {
    const json before = begun.value(group, json::object());
    for (const auto& [key, value] : asked.at(group).items()) {
      const json was = before.value(key, json());
      if (was == value) continue;
      refuse(output, group == std::string("options")
                         ? fmt::format("with {} {} and not {}", key, was.dump(), value.dump())
                         : fmt::format("with another tokenizer (its {} was {})", key, was.dump()));
    }
  }
  check_same_sources(begun.value("sources", json::array()), asked.at("sources"), output);
}

std::string dataset_text(const PrepareOptions& options, const Tokenizer& tokenizer,
                         const SourceList& list, const PreparedDataset& dataset,
                         const DatasetPart& train, const DatasetPart& validation) {
  ordered_json dataset_json;
  dataset_json["format"] = "mneme dataset";
  dataset_json["version"] = kDatasetVersion;
  dataset_json["program"] = options.program;
  dataset_json["layout"] = io::name_of(options.layout);
  dataset_json["token_bytes"] = dataset.token_bytes;
  dataset_json["vocabulary"] = tokenizer.vocabulary();
  dataset_json["tokenizer"]["kind"] = tokenizer.kind();
  if (!tokenizer.file_name().empty()) {
    dataset_json["tokenizer"]["file"] = tokenizer.file_name();
    dataset_json["tokenizer"]["checksum"] = checksum_of(tokenizer);
    dataset_json["tokenizer"]["encoding"] = options.encoding;
  }
  dataset_json["separator"] = separator_json(dataset.separator);
  dataset_json["train"] = part_json(train);
  dataset_json["validation"] = part_json(validation);
  dataset_json["empty_records"] = dataset.empty_records;
  dataset_json["options"] = options_json<ordered_json>(options, dataset.separator);
  dataset_json["sources"] = ordered_json::array();
  for (const Source& source : list.sources) {
    dataset_json["sources"].push_back({{"path", text_of(source.path)}, {"bytes", source.bytes}});
  }
  return dataset_json.dump(1) + "\n";
}

}  // namespace mneme::text
