// The tokenizer of a run: what its text and its samples are written with. Its file is kept in the
// run's directory, so that the run can be used wherever it goes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/config.h"
#include "engine/manifest.h"
#include "engine/run_claim.h"
#include "io/disk.h"
#include "text/tokenizer.h"

namespace mneme::engine {

// The largest file of a tokenizer.
inline constexpr std::uint64_t kMostTokenizerBytes = std::uint64_t{256} << 20;

// Throws Error naming the file, and data.vocabulary where the tokenizer has more ids.
std::unique_ptr<text::Tokenizer> open_tokenizer(const std::string& path,
                                                const std::string& encoding,
                                                std::int64_t vocabulary);

// The tokenizer that a configuration names, or that of the dataset at data.path; bytes where
// neither does and data.vocabulary is 256; null where ids have no text.
std::unique_ptr<text::Tokenizer> open_run_tokenizer(const DataConfig& data);

// The same for a run that is there already: what lies at data.path by now does not matter.
std::unique_ptr<text::Tokenizer> open_kept_tokenizer(const DataConfig& data);

// What the manifest of a run says of its tokenizer; nothing without a file.
std::optional<TokenizerRecord> record_tokenizer(const text::Tokenizer* tokenizer,
                                                const DataConfig& data);

// Throws Error when the file's name in a new run's directory is taken by something else.
void check_tokenizer_place(const io::Disk& disk, const std::string& run_directory,
                           const text::Tokenizer* tokenizer);
// Puts the file into a new run's directory, where it goes with the claim. Throws Error as
// check_tokenizer_place does.
void keep_tokenizer(const io::Disk& disk, RunClaim& claim, const std::string& run_directory,
                    const text::Tokenizer* tokenizer);

std::string kept_tokenizer_path(const std::string& run_directory, const TokenizerRecord& record);
// What a run is to be used with, `recorded` with overrides, reading the run's own file. Throws
// Error where an override names another tokenizer.
DataConfig with_kept_tokenizer(const io::Disk& disk, const std::string& run_directory,
                               const TokenizerRecord& record, const DataConfig& recorded,
                               DataConfig wanted);
// Throws Error when the file in a run's directory is not the one that the run was started with.
void check_kept_tokenizer(const io::Disk& disk, const std::string& run_directory,
                          const TokenizerRecord& record);

}  // namespace mneme::engine
