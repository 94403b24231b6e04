// The tokens of one part of a dataset, in as many files as the layout and their number ask for.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/token_layout.h"
#include "io/token_writer.h"

namespace mneme::text {

struct ShardedTokensOptions {
  io::TokenLayout layout = io::TokenLayout::kLlmC;
  std::string folder;  // is made
  std::string name;    // of the files: NAME_000000.bin of llm.c, NAME.bin of the others
  int token_bytes = 2;
  // Of llm.c, whose documents may begin in one file and end in the next. Other layouts are one
  // file.
  std::uint64_t shard_tokens = 100'000'000;
};

struct ShardedTokensState {
  std::vector<std::uint64_t> full;           // tokens of the files that are finished, in order
  std::optional<io::TokenWriterState> open;  // of the one behind them, where it has begun
  bool operator==(const ShardedTokensState&) const = default;
};

// As io::TokenWriter in what it promises, for any number of tokens. Without a token it has no file.
class ShardedTokens {
 public:
  // state: of an earlier object of the same options, whose files are there; what was appended after
  // it goes. `disk` must outlive it.
  ShardedTokens(io::Disk& disk, const ShardedTokensOptions& options,
                const ShardedTokensState& state = {});

  void append(std::span<const std::int32_t> ids);
  void end_document();
  void sync();
  ShardedTokensState state() const;
  // Nothing but files() may follow.
  void finish();

  struct File {
    std::string name;  // without the folder
    std::uint64_t tokens = 0;
  };
  std::vector<File> files() const;

 private:
  std::string file_name(std::size_t index) const;
  std::string path(std::size_t index) const { return options_.folder + "/" + file_name(index); }
  std::uint64_t room() const;
  void open(const std::optional<io::TokenWriterState>& state);
  void close();
  void remove_from(std::size_t index);

  io::Disk& disk_;
  ShardedTokensOptions options_;
  std::vector<std::uint64_t> full_;
  std::unique_ptr<io::TokenWriter> writer_;  // of the file behind them
};

}  // namespace mneme::text
