#include "io/token_writer.h"

#include <span>
#include <vector>

#include "io/basic_token_writer.h"
#include "io/check.h"
#include "io/error.h"
#include "io/llm_c_layout.h"
#include "io/megatron_layout.h"
#include "io/megatron_writer.h"

namespace mneme::io {
namespace {

class NanogptWriter final : public BasicTokenWriter {
 public:
  NanogptWriter(Disk& disk, const TokenWriterOptions& options)
      : BasicTokenWriter(disk, options, TokenType::kUint16, 0) {}
};

class LlmCWriter final : public BasicTokenWriter {
 public:
  LlmCWriter(Disk& disk, const TokenWriterOptions& options)
      : BasicTokenWriter(disk, options,
                         options.token_bytes == 2 ? TokenType::kUint16 : TokenType::kUint32,
                         sizeof(LlmCHeader)) {}
  std::uint64_t max_tokens() const override { return kMostLlmCTokens; }

 protected:
  void complete(PartialFile& tokens) override {
    const LlmCHeader header = make_llm_c_header({type(), state().tokens});
    tokens.replace_front(std::as_bytes(std::span(header)));
  }
};

void check_options(const TokenWriterOptions& options) {
  const int bytes = options.token_bytes;
  if (bytes != 2 && (bytes != 4 || options.layout == TokenLayout::kNanogpt)) {
    fail("{}: the layout {} has no tokens of {} bytes", options.path, name_of(options.layout),
         bytes);
  }
  // NAME.idx is found by the name of the other.
  if (options.layout == TokenLayout::kMegatron && !options.path.ends_with(".bin")) {
    fail("{}: a file of the layout megatron must be named NAME.bin", options.path);
  }
  if (options.resume && options.resume->open_tokens > options.resume->tokens) {
    fail("{}: {} of {} tokens in an open document cannot be; begin anew", options.path,
         options.resume->open_tokens, options.resume->tokens);
  }
}

// All files that a writer makes.
std::vector<std::string> files_of(TokenLayout layout, const std::string& path) {
  std::vector<std::string> files = {path, partial_tokens_path(path)};
  if (layout == TokenLayout::kMegatron) {
    files.push_back(megatron_index_path(path));
    files.push_back(partial_lengths_path(path));
  }
  return files;
}

void check_nothing_is_there(Disk& disk, const TokenWriterOptions& options) {
  for (const std::string& file : files_of(options.layout, options.path)) {
    if (!disk.exists(file)) continue;
    fail("{}: is there already; remove it when no other program is writing it", file);
  }
}

// A file that was finished after the state was taken.
void take_back_tokens(Disk& disk, const std::string& path) {
  const std::string partial = partial_tokens_path(path);
  if (disk.exists(partial) || !disk.exists(path)) return;
  disk.rename(path, partial);
  disk.sync_directory(directory_of(path));
}

}  // namespace

std::unique_ptr<TokenWriter> make_token_writer(Disk& disk, const TokenWriterOptions& options) {
  check_options(options);
  if (options.resume) {
    take_back_tokens(disk, options.path);
  } else {
    check_nothing_is_there(disk, options);
  }
  switch (options.layout) {
    case TokenLayout::kLlmC:
      return std::make_unique<LlmCWriter>(disk, options);
    case TokenLayout::kNanogpt:
      return std::make_unique<NanogptWriter>(disk, options);
    case TokenLayout::kMegatron:
      return make_megatron_writer(disk, options);
  }
  CHECK(false, "no such layout");
}

void remove_partial_tokens(Disk& disk, TokenLayout layout, const std::string& path) {
  const std::string partial = partial_tokens_path(path);
  if (layout == TokenLayout::kMegatron && disk.exists(partial)) {
    // An index is written before its tokens take their name.
    disk.remove(megatron_index_path(path) + kAsideSuffix);
    disk.remove(megatron_index_path(path));
    disk.remove(partial_lengths_path(path));
  }
  disk.remove(partial);
}

}  // namespace mneme::io
