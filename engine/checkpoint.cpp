#include "engine/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "engine/row_table_file.h"
#include "engine/run_files.h"
#include "io/advice.h"
#include "io/check.h"
#include "io/checksum.h"
#include "io/error.h"
#include "io/log.h"
#include "io/progress.h"
#include "io/safetensors.h"

namespace mneme::engine {
namespace {

constexpr std::size_t kMaximumChain = 64;

constexpr std::pair<ParameterBuffer, std::string_view> kSavedBuffers[] = {
    {ParameterBuffer::kValues, ""},
    {ParameterBuffer::kMoment1, "adam.moment1."},
    {ParameterBuffer::kMoment2, "adam.moment2."}};

// One tensor that a dense file must have.
struct DenseTensor {
  ParameterBuffer buffer = ParameterBuffer::kValues;
  const ParameterDeclaration* parameter = nullptr;
};

std::map<std::string, DenseTensor, std::less<>> dense_tensors(
    std::span<const ParameterDeclaration> parameters) {
  std::map<std::string, DenseTensor, std::less<>> tensors;
  for (const auto& [buffer, prefix] : kSavedBuffers) {
    for (const ParameterDeclaration& parameter : parameters) {
      tensors[std::string(prefix) + parameter.name] = {buffer, &parameter};
    }
  }
  return tensors;
}

// Throws Error for a file of a checkpoint that is not there.
void require(const io::Disk& disk, const std::string& path) {
  if (!disk.exists(path)) io::fail("{}: is missing; {}", path, io::kOlderCheckpoint);
}

RowPlaces row_places(offload::TieredStore& store) {
  const offload::TierUse use = store.tier_use();
  const std::uint64_t touched = std::min(use.touched_rows, use.table_rows);
  const std::uint64_t in_memory = use.device_rows + use.host_rows;
  return {.device = use.device_rows,
          .host = use.host_rows,
          .disk = touched - std::min(touched, in_memory),
          .untouched = use.table_rows - touched};
}

std::uint64_t bytes_of(std::span<const io::TensorInfo> tensors) {
  std::uint64_t bytes = 0;
  for (const io::TensorInfo& tensor : tensors) bytes += tensor.end - tensor.begin;
  return bytes;
}

std::vector<RowTableLink> links(const std::string& directory, std::span<const NamedFile> chain) {
  std::vector<RowTableLink> all;
  for (const NamedFile& file : chain) all.push_back({directory + "/" + file.name, file.checksum});
  return all;
}

}  // namespace

Checkpointer::Checkpointer(io::Disk& disk, kernels::Stream& stream, Parameters& parameters,
                           std::vector<offload::TieredStore*> stores,
                           const CheckpointOptions& options)
    : disk_(disk),
      stream_(stream),
      parameters_(parameters),
      stores_(std::move(stores)),
      options_(options),
      directory_(checkpoints_directory(options.run_directory)) {
  CHECK(options_.keep >= 1);
}

CheckpointEntry Checkpointer::load(const Manifest& manifest, std::optional<std::uint64_t> step) {
  CHECK(!manifest.checkpoints.empty());
  const std::uint64_t wanted = step.value_or(manifest.checkpoints.back().step);
  std::string steps;
  for (const CheckpointEntry& entry : manifest.checkpoints) {
    (entry.step <= wanted ? kept_ : abandoned_).push_back(entry);
    steps += fmt::format("{}{}", steps.empty() ? "" : ", ", entry.step);
  }
  if (kept_.empty() || kept_.back().step != wanted) {
    io::fail("{} keeps no checkpoint of step {}; kept are {}", manifest_path(directory_), wanted,
             steps);
  }
  const CheckpointEntry current = kept_.back();
  if (current.tables.size() != stores_.size()) {
    io::fail("{} has {} value tables, this configuration {}", manifest_path(directory_),
             current.tables.size(), stores_.size());
  }
  const io::Phase phase(fmt::format("loading step {}", current.step));
  load_dense(current);
  for (std::uint32_t table = 0; table < stores_.size(); ++table) restore_rows(table, current);
  return current;
}

void Checkpointer::restore_rows(std::uint32_t table, const CheckpointEntry& current) {
  std::vector<CheckpointEntry> entries = kept_;
  entries.insert(entries.end(), abandoned_.begin(), abandoned_.end());
  std::vector<offload::CheckpointTable> tables;
  std::size_t position = 0;
  for (const CheckpointEntry& entry : entries) {
    try {
      tables.push_back(read_row_table(disk_, directory_, table, entry));
    } catch (const io::Error& error) {
      if (entry.step == current.step) throw;
      // Nobody knows which slots it needs. Its files stay until the next save.
      io::warn("the checkpoint of step {} is lost and will be dropped: {}", entry.step,
               error.what());
      const auto is_lost = [&](const CheckpointEntry& one) { return one.step == entry.step; };
      if (std::erase_if(kept_, is_lost) > 0) abandoned_.push_back(entry);
      continue;
    }
    if (entry.step == current.step) position = tables.size() - 1;
  }
  stores_[table]->restore(tables, position);
}

offload::CheckpointTable read_row_table(io::Disk& disk, const std::string& directory,
                                        std::uint32_t table, const CheckpointEntry& entry) {
  CHECK(table < entry.tables.size());
  const std::vector<RowTableLink> chain = links(directory, entry.tables[table]);
  for (const RowTableLink& link : chain) require(disk, link.path);
  const RowTableChain files(disk, table, chain);
  offload::CheckpointTable merged;
  merged.epoch = entry.step;
  merged.next_generation = files.next_generation();
  merged.entries.reserve(files.most_entries());
  io::Phase phase("reading the row table", files.most_entries(), "rows");
  files.for_each({}, [&](const offload::TableEntry& row) {
    merged.entries.push_back(row);
    phase.add(1);
  });
  return merged;
}

void read_dense(io::Disk& disk, const std::string& directory, const CheckpointEntry& entry,
                std::span<const ParameterDeclaration> parameters, const UseTensor& use) {
  const std::string path = directory + "/" + entry.dense.name;
  require(disk, path);
  const io::SafetensorsReader reader(disk, path);
  const auto wanted = dense_tensors(parameters);
  for (const auto& [name, tensor] : wanted) {
    if (reader.info(name).shape != tensor.parameter->shape) {
      io::fail("{}: tensor {} has another shape than the configuration's", reader.path(), name);
    }
  }
  if (reader.tensors().size() != wanted.size()) {
    io::fail("{}: has {} tensors, the configuration's model {}", reader.path(),
             reader.tensors().size(), wanted.size());
  }
  std::uint64_t checksum = 0;
  io::Phase phase("reading the dense part", bytes_of(reader.tensors()));
  for (const io::TensorInfo& info : reader.tensors()) {
    const std::vector<float> values = reader.read_f32(info.name);
    checksum = io::extend_checksum(checksum, std::as_bytes(std::span(values)));
    const DenseTensor& tensor = wanted.find(info.name)->second;
    if (use) use(tensor.buffer, *tensor.parameter, values);
    phase.add(info.end - info.begin);
  }
  if (checksum != entry.dense.checksum) {
    io::fail("{}: its tensors do not match the checksum in the manifest; {}", reader.path(),
             io::kOlderCheckpoint);
  }
}

void Checkpointer::load_dense(const CheckpointEntry& entry) {
  std::vector<ParameterDeclaration> declarations;
  for (const Parameter& parameter : parameters_.directory()) {
    declarations.push_back(parameter.declaration);
  }
  read_dense(disk_, directory_, entry, declarations,
             [&](ParameterBuffer buffer, const ParameterDeclaration& declaration,
                 std::span<const float> values) {
               parameters_.write(stream_, buffer, parameters_.find(declaration.name), values);
             });
}

void Checkpointer::save(std::uint64_t step, const RunRecord& run, const MarkMetrics& metrics) {
  if (!failure_.empty()) {
    io::fail("an earlier checkpoint failed ({}); resume from the last one", failure_);
  }
  try {
    write_checkpoint(step, run, metrics);
  } catch (const std::exception& error) {
    // The disk may hold the new manifest already: writing on would remove what it names.
    failure_ = error.what();
    throw;
  }
}

void Checkpointer::write_checkpoint(std::uint64_t step, const RunRecord& run,
                                    const MarkMetrics& metrics) {
  disk_.make_directories(directory_);
  CheckpointEntry entry;
  entry.step = step;
  // What an interrupted save left behind goes first: it may be what fills the disk.
  remove_unnamed_files();
  for (std::uint32_t table = 0; table < stores_.size(); ++table) {
    entry.tables.push_back(save_table(table, step, stores_[table]->flush()));
    entry.rows.push_back(row_places(*stores_[table]));
  }
  entry.dense = save_dense(step);
  if (!stores_.empty()) {
    const std::string rows = rows_directory(options_.run_directory);
    disk_.make_directories(rows);
    disk_.sync_directory(rows);
  }
  entry.metrics = metrics();
  disk_.sync_directory(options_.run_directory);

  Manifest next = {run, kept_};
  // Saving the same step again (after a resume without progress) replaces its entry.
  std::vector<std::uint64_t> dropped;
  for (const CheckpointEntry& old : abandoned_) dropped.push_back(old.step);
  std::erase_if(next.checkpoints, [&](const CheckpointEntry& old) {
    if (old.step >= step) dropped.push_back(old.step);
    return old.step >= step;
  });
  next.checkpoints.push_back(std::move(entry));
  while (next.checkpoints.size() > options_.keep) {
    dropped.push_back(next.checkpoints.front().step);
    next.checkpoints.erase(next.checkpoints.begin());
  }
  write_manifest(disk_, directory_, next);
  kept_ = std::move(next.checkpoints);
  abandoned_.clear();
  for (offload::TieredStore* store : stores_) {
    for (const std::uint64_t epoch : dropped) store->release_checkpoint(epoch);
    store->commit_checkpoint(step);
  }
  remove_unnamed_files();
}

bool Checkpointer::is_named(const std::string& name) const {
  for (const std::vector<CheckpointEntry>* entries : {&kept_, &abandoned_}) {
    for (const CheckpointEntry& entry : *entries) {
      const std::vector<std::string> files = entry.files();
      if (std::find(files.begin(), files.end(), name) != files.end()) return true;
    }
  }
  return false;
}

std::string Checkpointer::unused_name(std::string name) const {
  // A step saved again must not overwrite a file that the standing manifest names, nor one that is
  // not the run's.
  while (is_named(name) || disk_.exists(path(name))) name = "again-" + name;
  return name;
}

std::vector<NamedFile> Checkpointer::save_table(std::uint32_t table, std::uint64_t step,
                                                const offload::TableDelta& delta) {
  std::vector<NamedFile> chain;
  if (!kept_.empty()) chain = kept_.back().tables.at(table);
  // The chain so far, in bytes: rewritten as one base once its deltas outweigh the base.
  std::uint64_t base_bytes = 0;
  std::uint64_t delta_bytes = delta.entries.size() * kRowTableEntryBytes;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    (i == 0 ? base_bytes : delta_bytes) += io::file_bytes(disk_, path(chain[i].name));
  }
  const bool base = chain.empty() || delta_bytes > base_bytes || chain.size() >= kMaximumChain;
  NamedFile file;
  file.name =
      unused_name(fmt::format("table-{}-{:010}{}.rows-table", table, step, base ? "-base" : ""));
  if (base) {
    const RowTableChain merged(disk_, table, links(directory_, chain));
    file.checksum = write_row_table_base(disk_, path(file.name), table, merged, delta);
    chain.clear();
  } else {
    file.checksum = write_row_table_delta(disk_, path(file.name), table, delta);
  }
  chain.push_back(std::move(file));
  return chain;
}

NamedFile Checkpointer::save_dense(std::uint64_t step) {
  NamedFile file{unused_name(fmt::format("dense-{:010}.safetensors", step)), 0};
  std::vector<io::SafetensorsWriter::Declaration> tensors;
  for (const auto& [buffer, prefix] : kSavedBuffers) {
    for (const Parameter& parameter : parameters_.directory()) {
      tensors.push_back({std::string(prefix) + parameter.declaration.name, io::ElementType::kF32,
                         parameter.declaration.shape});
    }
  }
  io::SafetensorsWriter writer(disk_, path(file.name), std::move(tensors),
                               {{"format", "mneme"}, {"run", run_id_text(options_.run_id)}});
  io::Phase phase("dense part", static_cast<std::uint64_t>(parameters_.parameter_count()) *
                                    std::size(kSavedBuffers) * sizeof(float));
  for (const auto& [buffer, prefix] : kSavedBuffers) {
    for (const Parameter& parameter : parameters_.directory()) {
      const std::vector<float> values = parameters_.read(stream_, buffer, parameter);
      writer.append(std::as_bytes(std::span(values)));
      file.checksum = io::extend_checksum(file.checksum, std::as_bytes(std::span(values)));
      phase.add(values.size() * sizeof(float));
    }
  }
  writer.finish();
  return file;
}

void Checkpointer::remove_unnamed_files() {
  for (const std::string& name : disk_.list(directory_)) {
    if (name == "manifest.json" || is_named(name)) continue;
    if (is_own_checkpoint_file(disk_, directory_, name, options_.run_id)) disk_.remove(path(name));
  }
}

}  // namespace mneme::engine
