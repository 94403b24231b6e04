#include "text/prepare/prepare.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <span>

#include "io/elapsed.h"
#include "io/error.h"
#include "io/log.h"
#include "io/progress.h"
#include "io/utf8.h"
#include "text/prepare/encode_corpus.h"
#include "text/prepare/progress_record.h"
#include "text/prepare/request.h"
#include "text/prepare/sharded_tokens.h"
#include "text/prepare/validation_choice.h"
#include "text/prepare/work_folder.h"

namespace mneme::text {
namespace {

using Clock = std::chrono::steady_clock;

std::optional<std::int32_t> find_separator(const Tokenizer& tokenizer, const std::string& written) {
  if (written == "auto") return tokenizer.separator();
  if (written == "none") return std::nullopt;
  std::int32_t id = 0;
  const char* const end = written.data() + written.size();
  const auto [behind, error] = std::from_chars(written.data(), end, id);
  if (error == std::errc() && behind == end) {
    if (id >= 0 && id < tokenizer.vocabulary()) return id;
    io::fail("--separator {}: the tokenizer has ids from 0 to {}", written,
             tokenizer.vocabulary() - 1);
  }
  if (const auto token = tokenizer.find_token(written)) return token;
  io::fail("--separator {}: the tokenizer has no such token; give one of its own, an id, or none",
           io::printable(written));
}

class Preparation {
 public:
  Preparation(io::Disk& disk, const Tokenizer& tokenizer, const PrepareOptions& options);
  PreparedDataset run();

 private:
  // One of the parts of the dataset.
  struct Part {
    ShardedTokens tokens;
    PreparedPart counts;
  };

  Part make_part(const char* folder, const char* name, const ShardedTokensState& state,
                 const PreparedPart& counts);
  std::uint64_t documents() const { return train_.counts.documents + validation_.counts.documents; }
  Part& part_of_document() { return choice_.contains(documents()) ? validation_ : train_; }
  void read_all();
  void take(const EncodedBatch& batch);
  void warn_once(const Source& cut);
  void check();
  void save();
  PreparedDataset finish(double seconds);

  io::Disk& disk_;
  const Tokenizer& tokenizer_;
  const PrepareOptions& options_;
  SourceList list_;
  std::optional<std::int32_t> separator_;
  int token_bytes_;
  ValidationChoice choice_;
  WorkFolder folder_;
  ProgressRecord resumed_;
  Part train_, validation_;
  CorpusPosition position_;
  std::uint64_t input_bytes_;
  std::uint64_t empty_records_;
  Clock::time_point last_save_ = Clock::now();
  bool has_warned_ = false;
};

Preparation::Preparation(io::Disk& disk, const Tokenizer& tokenizer, const PrepareOptions& options)
    : disk_(disk),
      tokenizer_(tokenizer),
      options_(options),
      list_(find_sources(options.inputs)),
      separator_(find_separator(tokenizer, options.separator)),
      token_bytes_(io::token_bytes_for(options.layout, tokenizer.vocabulary())),
      choice_(options.validation_share, options.seed),
      folder_(disk, options.output, request_json(options, tokenizer, list_, separator_),
              options.restart),
      resumed_(parse_progress(folder_.progress(), options.output)),
      train_(make_part("train", "train", resumed_.train_files, resumed_.train)),
      validation_(make_part("validation", "val", resumed_.validation_files, resumed_.validation)),
      position_(resumed_.position),
      input_bytes_(resumed_.input_bytes),
      empty_records_(resumed_.empty_records) {
  if (list_.left_out > 0) {
    io::warn("{} files of the folders are left out, such as {}: their endings are none of text",
             list_.left_out, list_.first_left_out);
  }
}

Preparation::Part Preparation::make_part(const char* folder, const char* name,
                                         const ShardedTokensState& state,
                                         const PreparedPart& counts) {
  return {ShardedTokens(disk_,
                        {.layout = options_.layout,
                         .folder = folder_.dataset() + "/" + folder,
                         .name = name,
                         .token_bytes = token_bytes_,
                         .shard_tokens = options_.shard_tokens},
                        state),
          counts};
}

PreparedDataset Preparation::run() {
  const auto start = Clock::now();
  read_all();
  return finish(io::elapsed_ms(start) / 1000);
}

void Preparation::read_all() {
  EncodeCorpusOptions how;
  how.corpus.document_separator = options_.document_separator;
  how.corpus.most_record_bytes = options_.most_record_bytes;
  how.corpus.invalid_utf8 = options_.invalid_utf8;
  how.corpus.batch_bytes = options_.batch_bytes;
  how.encoding.separator = separator_;
  how.encoding.special_in_text = options_.special_in_text;
  how.encoding.json = {options_.field, options_.most_record_bytes, options_.invalid_utf8};
  how.start = position_;
  how.threads = options_.threads;
  how.check = [this] { check(); };

  const std::uint64_t before = input_bytes_;
  io::Phase phase("preparing", list_.bytes() - before);
  encode_corpus(list_, tokenizer_, how, [&](const EncodedBatch& batch) {
    take(batch);
    phase.reach(input_bytes_ - before);
  });
}

void Preparation::take(const EncodedBatch& batch) {
  if (batch.roughly_cut != nullptr) warn_once(*batch.roughly_cut);
  std::size_t begin = 0;
  Part* part = &part_of_document();
  for (const EncodedPart& encoded : batch.parts) {
    if (encoded.begins_document) part = &part_of_document();
    const std::size_t tokens = encoded.tokens_end - begin;
    part->tokens.append(std::span(batch.tokens).subspan(begin, tokens));
    part->counts.tokens += tokens;
    part->counts.text_bytes += encoded.text_bytes;
    begin = encoded.tokens_end;
    if (!encoded.ends_document) continue;
    part->tokens.end_document();
    ++part->counts.documents;
  }
  position_ = batch.next;
  input_bytes_ = batch.input_bytes;
  empty_records_ += batch.empty_records;
}

void Preparation::warn_once(const Source& cut) {
  if (std::exchange(has_warned_, true)) return;
  io::warn(
      "{}: is cut for several cores where the tokenizer knows no place that changes nothing; the "
      "tokens at cuts may differ from those of the whole document",
      cut.path);
}

void Preparation::check() {
  const bool is_due = io::elapsed_ms(last_save_) >= 1000 * options_.checkpoint_seconds;
  if (is_due) save();
  if (!options_.check) return;
  try {
    options_.check();
  } catch (...) {
    if (!is_due) save();
    throw;
  }
}

void Preparation::save() {
  train_.tokens.sync();
  validation_.tokens.sync();
  ProgressRecord record;
  record.position = position_;
  record.input_bytes = input_bytes_;
  record.empty_records = empty_records_;
  record.train = train_.counts;
  record.validation = validation_.counts;
  record.train_files = train_.tokens.state();
  record.validation_files = validation_.tokens.state();
  folder_.save_progress(progress_json(record));
  last_save_ = Clock::now();
}

PreparedDataset Preparation::finish(double seconds) {
  if (documents() == 0) {
    io::fail("{}: no text in any of {} files; check the inputs", io::printable(options_.inputs[0]),
             list_.sources.size());
  }
  const io::Phase phase("finishing the files");
  PreparedDataset dataset;
  train_.tokens.finish();
  validation_.tokens.finish();
  dataset.train = train_.counts;
  dataset.validation = validation_.counts;
  dataset.empty_records = empty_records_;
  dataset.separator = separator_;
  dataset.token_bytes = token_bytes_;
  dataset.sources = list_.sources.size();
  dataset.source_bytes = list_.bytes();
  dataset.resumed_documents = resumed_.train.documents + resumed_.validation.documents;
  const auto text_bytes = [](const PreparedPart& train, const PreparedPart& validation) {
    return static_cast<double>(train.text_bytes + validation.text_bytes);
  };
  dataset.text_bytes_per_second = (text_bytes(train_.counts, validation_.counts) -
                                   text_bytes(resumed_.train, resumed_.validation)) /
                                  std::max(seconds, 1e-6);
  if (const std::string name = tokenizer_.file_name(); !name.empty()) {
    io::replace_file(disk_, folder_.dataset() + "/" + name,
                     std::as_bytes(std::span(tokenizer_.file_content())));
  }
  const std::string text = dataset_text(
      options_, tokenizer_, list_, dataset, {"train", dataset.train, train_.tokens.files()},
      {"validation", dataset.validation, validation_.tokens.files()});
  io::replace_file(disk_, folder_.dataset() + "/dataset.json", std::as_bytes(std::span(text)));
  folder_.publish();
  return dataset;
}

}  // namespace

PreparedDataset prepare(io::Disk& disk, const Tokenizer& tokenizer, const PrepareOptions& options) {
  return Preparation(disk, tokenizer, options).run();
}

}  // namespace mneme::text
