// mneme export: a checkpoint as one plain safetensors file, with the run's tokenizer beside it.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/run.h"
#include "engine/run_claim.h"
#include "engine/run_files.h"
#include "engine/run_tokenizer.h"
#include "io/checksum.h"
#include "io/disk.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/progress.h"
#include "io/retry.h"
#include "io/safetensors.h"
#include "kernels/machine_memory.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"

namespace mneme::tools {
namespace {

namespace fs = std::filesystem;

// Rows whose values are in memory at once. Many, since records are read in the order of the file,
// which says nothing of that of the rows: each time it is read from front to back.
std::size_t rows_at_once(std::size_t width) {
  constexpr std::size_t kLeast = 16384;
  const std::size_t fit = kernels::free_memory_bytes() / 4 / (width * sizeof(float));
  return std::max(kLeast, fit);
}

// Whether a file is what an earlier export wrote, and so may be replaced by another one. The files
// of checkpoints say which run they are of.
bool is_export(io::Disk& disk, const std::string& path) {
  try {
    const io::SafetensorsReader reader(disk, path);
    const auto format = reader.metadata().find("format");
    return format != reader.metadata().end() && format->second == "mneme" &&
           !reader.metadata().contains("run");
  } catch (const io::Error&) {
    return false;
  }
}

// The run's tokenizer and where it goes: what FILE of an export is called but for its ending, then
// the tokenizer's own name. The metadata of FILE tells which it is.
struct ExportedTokenizer {
  std::string path;
  std::vector<std::byte> content;

  std::string name() const { return fs::path(path).filename().string(); }
  std::string checksum() const { return checksum_text(content); }
  static std::string checksum_text(const std::vector<std::byte>& content) {
    return fmt::format("{:016x}", io::checksum64(std::span<const std::byte>(content)));
  }
};

constexpr const char* kTokenizer = "tokenizer";
constexpr const char* kTokenizerChecksum = "tokenizer_checksum";

std::optional<ExportedTokenizer> tokenizer_of(const engine::RunDirectory& directory,
                                              const std::string& output) {
  const auto& record = directory.manifest().run.tokenizer;
  if (!record) return {};
  directory.check_tokenizer();
  return ExportedTokenizer{
      fs::path(output).replace_extension().string() + "." + record->file,
      directory.disk().read_file(engine::kept_tokenizer_path(directory.path(), *record),
                                 engine::kMostTokenizerBytes)};
}

// Whether the file is as the export in `output` has written it.
bool is_tokenizer_of(io::Disk& disk, const std::string& output, const std::string& checksum,
                     const std::string& name) {
  if (!is_export(disk, output)) return false;
  const io::SafetensorsReader reader(disk, output);
  const auto says = [&](const char* key, const std::string& value) {
    const auto found = reader.metadata().find(key);
    return found != reader.metadata().end() && found->second == value;
  };
  return says(kTokenizer, name) && says(kTokenizerChecksum, checksum);
}

// A tokenizer takes the place of nothing but itself and that of an earlier export.
void check_tokenizer_output(io::Disk& disk, const std::string& output,
                            const ExportedTokenizer& tokenizer) {
  if (!disk.exists(tokenizer.path)) return;
  std::error_code ignored;
  if (fs::is_regular_file(tokenizer.path, ignored)) {
    const auto there = disk.read_file(tokenizer.path, engine::kMostTokenizerBytes);
    const std::string checksum = ExportedTokenizer::checksum_text(there);
    if (there == tokenizer.content || is_tokenizer_of(disk, output, checksum, tokenizer.name())) {
      return;
    }
  }
  io::fail(
      "{}: is there already and is not the run's tokenizer; name another file with --output, or "
      "move it away",
      tokenizer.path);
}

// An export may not take the place of a file that no export has made, nor lie among the files of a
// run.
void check_output(io::Disk& disk, const std::string& path) {
  std::error_code ignored;  // what cannot be looked at is no file of ours
  const bool is_file = io::retry_interrupted(
      ignored, [&](std::error_code& code) { return fs::is_regular_file(path, code); });
  if (disk.exists(path) && (!is_file || !is_export(disk, path))) {
    io::fail(
        "{}: is there already and is no export of mneme; name another file with --output, or move "
        "it away",
        path);
  }
  if (!disk.is_directory(io::directory_of(path))) {
    io::fail("{}: its folder is not there; make it, or name another file with --output", path);
  }
  std::error_code error;
  const fs::path folder = io::retry_interrupted(error, [&](std::error_code& code) {
    return fs::weakly_canonical(io::directory_of(path), code);
  });
  if (error) {
    io::fail("{}: cannot look at its folder: {}", path, io::errno_text(error.value()));
  }
  const std::string run = folder.parent_path().string();
  for (const std::string& own : {engine::checkpoints_directory(run), engine::rows_directory(run)}) {
    if (folder == own && engine::manifest_exists(disk, engine::checkpoints_directory(run))) {
      io::fail("{}: lies among the files of a run; name another file with --output", path);
    }
  }
}

void append_dense(engine::Run& run, const InterruptGuard& interrupt,
                  io::SafetensorsWriter& writer) {
  const engine::Parameters& parameters = run.model().parameters();
  io::Phase phase("writing the dense part",
                  static_cast<std::uint64_t>(parameters.parameter_count()), "parameters");
  for (const engine::Parameter& parameter : parameters.directory()) {
    interrupt.check();
    writer.append(std::as_bytes(std::span<const float>(
        parameters.read(run.stream(), engine::ParameterBuffer::kValues, parameter))));
    phase.add(static_cast<std::uint64_t>(parameter.count));
  }
}

// The tensors of the table's rows, one for each part.
std::vector<std::string> part_names(const engine::Config& config) {
  return config.row_parts() == 1 ? std::vector<std::string>{"values"}
                                 : std::vector<std::string>{"values_u", "values_v"};
}

// Appends one part of the rows' values as dense AdamW would have them after `step`.
void append_part(memory::ValueTable& table, std::uint64_t step,
                 const std::vector<kernels::RowId>& rows, std::size_t part,
                 const InterruptGuard& interrupt, io::SafetensorsWriter& writer) {
  const auto width = static_cast<std::size_t>(table.options().width);
  const auto parts = static_cast<std::size_t>(table.options().parts);
  const std::size_t most = rows_at_once(parts * width);
  std::vector<float> values;
  io::Phase phase("writing the rows", rows.size(), "rows");
  for (std::size_t first = 0; first < rows.size(); first += most) {
    const auto these = std::span(rows).subspan(first, std::min(most, rows.size() - first));
    values.resize(these.size() * parts * width);
    table.read_values(step, these, values, [&] { interrupt.check(); });
    for (std::size_t row = 0; parts > 1 && row < these.size(); ++row) {
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>((row * parts + part) * width), width,
                  values.begin() + static_cast<std::ptrdiff_t>(row * width));
    }
    writer.append(std::as_bytes(std::span<const float>(values.data(), these.size() * width)));
    phase.add(these.size());
  }
}

}  // namespace

int run_export(const ExportOptions& options) {
  const InterruptGuard interrupt;
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const auto disk = io::make_posix_disk();
  const engine::RunClaim claim = engine::RunClaim::read(*disk, options.directory);
  const engine::RunDirectory directory(*disk, options.directory);
  check_output(*disk, options.output);
  const auto tokenizer = tokenizer_of(directory, options.output);
  if (tokenizer) check_tokenizer_output(*disk, options.output, *tokenizer);
  const engine::ReadRun read = engine::read_run(directory, {}, options.step);
  engine::Run& run = *read.run;
  const std::uint64_t step = read.step;
  const engine::Config& config = run.config();
  const engine::Parameters& parameters = run.model().parameters();

  std::vector<kernels::RowId> rows;
  std::vector<io::SafetensorsWriter::Declaration> tensors;
  for (const engine::Parameter& parameter : parameters.directory()) {
    tensors.push_back(
        {parameter.declaration.name, io::ElementType::kF32, parameter.declaration.shape});
  }
  if (config.has_memory()) {
    if (options.untouched) {
      rows.resize(config.table_rows());
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<kernels::RowId>(i);
    } else {
      rows = run.table()->store().touched_rows();
      tensors.push_back(
          {"values.rows", io::ElementType::kI64, {static_cast<std::int64_t>(rows.size())}});
    }
    for (const std::string& name : part_names(config)) {
      tensors.push_back({name, io::ElementType::kF32, {std::ssize(rows), config.value_width()}});
    }
  }
  std::map<std::string, std::string> metadata = {{"format", "mneme"},
                                                 {"step", std::to_string(step)}};
  if (tokenizer) {
    metadata[kTokenizer] = tokenizer->name();
    metadata[kTokenizerChecksum] = tokenizer->checksum();
  }
  io::SafetensorsWriter writer(*disk, options.output, std::move(tensors), metadata);
  append_dense(run, interrupt, writer);
  if (config.has_memory()) {
    if (!options.untouched) {
      const std::vector<std::int64_t> ids(rows.begin(), rows.end());
      writer.append(std::as_bytes(std::span<const std::int64_t>(ids)));
    }
    for (std::size_t part = 0; part < part_names(config).size(); ++part) {
      append_part(*run.table(), step, rows, part, interrupt, writer);
    }
  }
  // First, so that no export is without the tokenizer that it names.
  if (tokenizer) io::replace_file(*disk, tokenizer->path, tokenizer->content);
  writer.finish();
  progress.note(fmt::format(
      "{}: step {}, {} dense parameters{}", options.output, step, parameters.parameter_count(),
      config.has_memory() ? fmt::format(", {} rows", rows.size()) : std::string()));
  return 0;
}

}  // namespace mneme::tools
