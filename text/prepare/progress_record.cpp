#include "text/prepare/progress_record.h"

#include <nlohmann/json.hpp>

#include "io/error.h"

namespace mneme::text {
namespace {

using nlohmann::json;

json part_json(const PreparedPart& part, const ShardedTokensState& files) {
  json written;
  written["documents"] = part.documents;
  written["tokens"] = part.tokens;
  written["text_bytes"] = part.text_bytes;
  written["full_files"] = files.full;
  if (files.open) {
    written["open_file"] = {{"tokens", files.open->tokens},
                            {"documents", files.open->documents},
                            {"open_tokens", files.open->open_tokens}};
  }
  return written;
}

void parse_part(const json& written, PreparedPart& part, ShardedTokensState& files) {
  written.at("documents").get_to(part.documents);
  written.at("tokens").get_to(part.tokens);
  written.at("text_bytes").get_to(part.text_bytes);
  written.at("full_files").get_to(files.full);
  if (!written.contains("open_file")) return;
  const json& file = written.at("open_file");
  files.open.emplace();
  file.at("tokens").get_to(files.open->tokens);
  file.at("documents").get_to(files.open->documents);
  file.at("open_tokens").get_to(files.open->open_tokens);
}

}  // namespace

json progress_json(const ProgressRecord& record) {
  json progress;
  progress["position"] = {{"source", record.position.source},
                          {"offset", record.position.offset},
                          {"line", record.position.line},
                          {"is_in_document", record.position.is_in_document},
                          {"is_at_line_start", record.position.is_at_line_start}};
  progress["input_bytes"] = record.input_bytes;
  progress["empty_records"] = record.empty_records;
  progress["train"] = part_json(record.train, record.train_files);
  progress["validation"] = part_json(record.validation, record.validation_files);
  return progress;
}

ProgressRecord parse_progress(const json& progress, const std::string& output) {
  ProgressRecord record;
  if (progress.is_null()) return record;
  try {
    const json& position = progress.at("position");
    position.at("source").get_to(record.position.source);
    position.at("offset").get_to(record.position.offset);
    position.at("line").get_to(record.position.line);
    position.at("is_in_document").get_to(record.position.is_in_document);
    position.at("is_at_line_start").get_to(record.position.is_at_line_start);
    progress.at("input_bytes").get_to(record.input_bytes);
    progress.at("empty_records").get_to(record.empty_records);
    parse_part(progress.at("train"), record.train, record.train_files);
    parse_part(progress.at("validation"), record.validation, record.validation_files);
  } catch (const json::exception&) {
    io::fail("{}: how far its preparation came cannot be read; begin anew with --restart", output);
  }
  return record;
}

}  // namespace mneme::text
