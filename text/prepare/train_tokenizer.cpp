#include "text/prepare/train_tokenizer.h"

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/checksum.h"
#include "io/error.h"
#include "io/progress.h"
#include "io/utf8.h"
#include "text/prepare/encode_corpus.h"
#include "text/tokenizer.h"

namespace mneme::text {
namespace {

// The trainer leaves out longer ones.
constexpr std::size_t kLongestLine = 4096;
// What compressed text is taken to expand to, where a share of it is drawn.
constexpr std::uint64_t kExpansion = 4;

// The lines that a trainer asks for.
class Lines : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return at_ == lines_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return lines_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  std::size_t at_ = 0;
};

// Draws lines of a text that comes in parts.
class Sampler {
 public:
  Sampler(double share, std::uint64_t seed, std::uint64_t most_bytes)
      : limit_(share >= 1 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(share * 0x1p64)),
        seed_(seed),
        most_bytes_(most_bytes) {}

  void add(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      add_line(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }
  const std::vector<std::string>& lines() const { return lines_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  void add_line(std::string_view line) {
    while (line.size() > kLongestLine) {
      // Between two words, or else between two characters.
      std::size_t end = line.rfind(' ', kLongestLine);
      if (end == line.npos || end == 0) end = kLongestLine;
      while (end > 1 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
      draw(line.substr(0, end));
      line.remove_prefix(end);
    }
    draw(line);
  }
  void draw(std::string_view line) {
    const std::uint64_t key[2] = {seed_, number_++};
    if (line.empty() || bytes_ >= most_bytes_) return;
    if (io::checksum64(std::as_bytes(std::span(key))) > limit_) return;
    lines_.emplace_back(line);
    bytes_ += line.size();
  }

  std::uint64_t limit_, seed_, most_bytes_;
  std::uint64_t number_ = 0, bytes_ = 0;
  std::vector<std::string> lines_;
};

void read_lines(const SourceList& sources, const TrainTokenizerOptions& options, Sampler& sampler) {
  // Bytes as tokens: the corpus is parsed and checked as it is for any other tokenizer.
  const auto bytes = make_byte_tokenizer();
  EncodeCorpusOptions how;
  how.corpus.most_record_bytes = options.json.most_bytes;
  how.corpus.invalid_utf8 = options.json.invalid_utf8;
  how.encoding.json = options.json;
  how.threads = options.threads;
  io::Phase phase("reading the text", sources.bytes());
  std::string text;
  encode_corpus(sources, *bytes, how, [&](const EncodedBatch& batch) {
    std::size_t begin = 0;
    for (const EncodedPart& part : batch.parts) {
      text.resize(part.tokens_end - begin);
      std::transform(batch.tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                     batch.tokens.begin() + static_cast<std::ptrdiff_t>(part.tokens_end),
                     text.begin(), [](std::int32_t byte) { return static_cast<char>(byte); });
      begin = part.tokens_end;
      sampler.add(text);
    }
    phase.reach(batch.input_bytes);
  });
}

double share_of(const SourceList& sources, std::uint64_t sample_bytes) {
  std::uint64_t text_bytes = 0;
  for (const Source& source : sources.sources) {
    text_bytes += source.bytes * (source.compression == Compression::kNone ? 1 : kExpansion);
  }
  return static_cast<double>(sample_bytes) /
         static_cast<double>(std::max<std::uint64_t>(text_bytes, 1));
}

}  // namespace

std::string train_tokenizer(const SourceList& sources, const TrainTokenizerOptions& options,
                            TokenizerSample& sample) {
  Sampler sampler(share_of(sources, options.sample_bytes), options.seed, 2 * options.sample_bytes);
  read_lines(sources, options, sampler);
  sample = {sampler.lines().size(), sampler.bytes()};
  if (sampler.lines().empty()) io::fail("there is no text to train a tokenizer on");

  const bool is_bpe = options.model == TokenizerModel::kBpe;
  const auto threads = options.threads > 0 ? static_cast<unsigned>(options.threads)
                                           : std::max(1u, std::thread::hardware_concurrency());
  const std::unordered_map<std::string, std::string> settings = {
      {"model_type", is_bpe ? "bpe" : "unigram"},
      {"vocab_size", std::to_string(options.vocabulary)},
      {"num_threads", std::to_string(threads)},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"allow_whitespace_only_pieces", "true"},
      {"byte_fallback", "true"},
      {"split_digits", "true"},
      {"character_coverage", "0.9995"},
      {"max_sentence_length", std::to_string(kLongestLine + 1)},
      {"minloglevel", "3"}};
  const io::Phase phase("training the tokenizer");
  Lines lines(sampler.lines());
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &lines, &model);
  if (!status.ok()) {
    // "src/file.cc(94) [condition] What is wrong."
    std::string_view why = status.error_message();
    why.remove_prefix(std::min(why.size(), why.rfind("] ") == why.npos ? 0 : why.rfind("] ") + 2));
    io::fail("no tokenizer of {} tokens could be trained on {} bytes of text: {}",
             options.vocabulary, sampler.bytes(), io::printable(why, 300));
  }
  return model;
}

}  // namespace mneme::text
