#include "text/prepare/encode_corpus.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "text/prepare/ordered_pipeline.h"

namespace mneme::text {
namespace {

using Pipeline = OrderedPipeline<RawBatch, EncodedBatch>;
constexpr std::chrono::milliseconds kPatience{100};  // between two questions whether to stop

std::size_t thread_count(int asked) {
  return asked > 0 ? static_cast<std::size_t>(asked)
                   : std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

void encode_corpus(const SourceList& sources, const Tokenizer& tokenizer,
                   const EncodeCorpusOptions& options,
                   const std::function<void(const EncodedBatch&)>& take) {
  CorpusOptions corpus = options.corpus;
  corpus.find_cut = [&tokenizer](std::string_view text, std::size_t from) {
    return tokenizer.find_cut(text, from);
  };
  const std::size_t threads = thread_count(options.threads);
  std::vector<BatchEncoder> encoders;
  for (std::size_t i = 0; i < threads; ++i) encoders.emplace_back(tokenizer, options.encoding);
  std::vector<Pipeline::Work> workers;
  for (BatchEncoder& encoder : encoders) {
    workers.emplace_back([&encoder](const RawBatch& batch) { return encoder.encode(batch); });
  }
  Pipeline::Options limits;
  limits.most_weight = corpus.batch_bytes * (2 * threads + 2);
  limits.weigh = [](const RawBatch& batch) { return batch.bytes.size(); };
  CorpusReader reader(sources, corpus, options.start, limits.stop.get_token());
  Pipeline pipeline([&reader] { return reader.next(); }, std::move(workers), limits);
  const auto check = [&] {
    if (options.check) options.check();
  };
  for (;;) {
    while (!pipeline.wait(kPatience)) check();
    check();
    const std::optional<EncodedBatch> batch = pipeline.next();
    if (!batch) return;
    take(*batch);
  }
}

}  // namespace mneme::text
