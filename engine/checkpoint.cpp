#include "engine/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "engine/row_table_file.h"
#include "io/check.h"
#include "io/checksum.h"
#include "io/error.h"
#include "io/kill_point.h"
#include "io/safetensors.h"

namespace mneme::engine {
namespace {

// A row table file is read whole; a larger one cannot come from save().
constexpr std::uint64_t kMaximumTableBytes = std::uint64_t{1} << 36;
constexpr std::size_t kMaximumChain = 64;

constexpr std::pair<ParameterBuffer, const char*> kSavedBuffers[] = {
    {ParameterBuffer::kValues, ""},
    {ParameterBuffer::kMoment1, "adam.moment1."},
    {ParameterBuffer::kMoment2, "adam.moment2."}};

// The checksum of a sequence of tensors: that of (the sum so far, the next tensor's checksum).
std::uint64_t extend_checksum(std::uint64_t sum, std::span<const float> tensor) {
  const std::uint64_t parts[] = {sum, io::checksum64(std::as_bytes(tensor))};
  return io::checksum64(std::as_bytes(std::span(parts)));
}

}  // namespace

std::string Checkpointer::directory(const std::string& run_directory) {
  return run_directory + "/checkpoints";
}

std::string Checkpointer::rows_path(const std::string& run_directory, std::uint32_t table) {
  return fmt::format("{}/rows/table-{}.rows", run_directory, table);
}

Checkpointer::Checkpointer(io::Disk& disk, kernels::Stream& stream, Parameters* parameters,
                           std::vector<offload::TieredStore*> stores,
                           const CheckpointOptions& options)
    : disk_(disk),
      stream_(stream),
      parameters_(parameters),
      stores_(std::move(stores)),
      options_(options),
      directory_(directory(options.run_directory)) {
  CHECK(options_.keep >= 1);
  manifest_.identity = options_.identity;
}

bool Checkpointer::exists() const {
  return manifest_exists(disk_, directory_);
}

void Checkpointer::check_identity() const {
  const auto value_of = [](const std::map<std::string, std::string>& map, const std::string& key) {
    const auto found = map.find(key);
    return found == map.end() ? std::string("(absent)") : found->second;
  };
  std::set<std::string> keys;
  for (const auto& [key, value] : options_.identity) keys.insert(key);
  for (const auto& [key, value] : manifest_.identity) keys.insert(key);
  for (const std::string& key : keys) {
    const std::string ours = value_of(options_.identity, key);
    const std::string theirs = value_of(manifest_.identity, key);
    if (ours != theirs) {
      io::fail(
          "{} belongs to another configuration: {} is {} there and {} here; use the "
          "configuration of that run",
          manifest_path(directory_), key, theirs, ours);
    }
  }
}

CheckpointEntry Checkpointer::load(std::optional<std::uint64_t> step) {
  manifest_ = read_manifest(disk_, directory_);
  check_identity();
  std::string steps;
  std::size_t chosen = step ? manifest_.checkpoints.size() : manifest_.checkpoints.size() - 1;
  for (std::size_t i = 0; i < manifest_.checkpoints.size(); ++i) {
    if (manifest_.checkpoints[i].step == step) chosen = i;
    steps += fmt::format("{}{}", i == 0 ? "" : ", ", manifest_.checkpoints[i].step);
  }
  if (chosen == manifest_.checkpoints.size()) {
    io::fail("{} keeps no checkpoint of step {}; kept are {}", manifest_path(directory_), *step,
             steps);
  }
  const CheckpointEntry& entry = manifest_.checkpoints[chosen];
  if (entry.tables.size() != stores_.size()) {
    io::fail("{} has {} value tables, this configuration {}", manifest_path(directory_),
             entry.tables.size(), stores_.size());
  }
  if (parameters_ != nullptr) load_dense(entry);
  for (std::uint32_t table = 0; table < stores_.size(); ++table) {
    const std::vector<offload::CheckpointTable> kept = tables(manifest_, table);
    stores_[table]->restore(std::span(kept).first(chosen + 1));
  }
  return entry;
}

std::vector<offload::CheckpointTable> Checkpointer::tables(const Manifest& manifest,
                                                           std::uint32_t table) const {
  std::vector<offload::CheckpointTable> kept;
  for (const CheckpointEntry& entry : manifest.checkpoints) {
    CHECK(table < entry.tables.size());
    kept.push_back(read_chain(table, entry.step, entry.tables[table]));
  }
  return kept;
}

offload::CheckpointTable Checkpointer::read_chain(std::uint32_t table, std::uint64_t epoch,
                                                  std::span<const std::string> chain) const {
  offload::CheckpointTable merged;
  merged.epoch = epoch;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const std::string file_path = path(chain[i]);
    const RowTableFile file =
        decode_row_table(disk_.read_file(file_path, kMaximumTableBytes), file_path);
    if (file.table != table || file.base != (i == 0)) {
      io::fail("{}: not the {} of table {} that the manifest names; restore it from a backup",
               file_path, i == 0 ? "base" : "delta", table);
    }
    apply_delta(merged.entries, file.entries);
    merged.next_generation = std::max(merged.next_generation, file.next_generation);
  }
  return merged;
}

void Checkpointer::save(std::uint64_t step, const std::map<std::string, std::string>& state) {
  if (!failure_.empty()) {
    io::fail("{}; no checkpoint is written after that: resume from the last one", failure_);
  }
  try {
    write_checkpoint(step, state);
  } catch (const std::exception& error) {
    // The disk may hold the new manifest already: writing on would remove what it names.
    failure_ = error.what();
    throw;
  }
}

void Checkpointer::write_checkpoint(std::uint64_t step,
                                    const std::map<std::string, std::string>& state) {
  disk_.make_directories(directory_);
  CheckpointEntry entry;
  entry.step = step;
  entry.state = state;
  // What an interrupted save left behind goes first: it may be what fills the disk.
  remove_unnamed_files();
  for (std::uint32_t table = 0; table < stores_.size(); ++table) {
    const offload::TableDelta delta = stores_[table]->flush();
    io::kill_point("checkpoint-flushed");
    entry.tables.push_back(save_table(table, step, delta));
    io::kill_point("checkpoint-table");
  }
  entry.dense = unused_name(fmt::format("dense-{:010}.safetensors", step));
  if (parameters_ != nullptr) entry.dense_checksum = save_dense(entry.dense);
  io::kill_point("checkpoint-dense");
  if (!stores_.empty()) {
    const std::string rows = options_.run_directory + "/rows";
    disk_.make_directories(rows);
    disk_.sync_directory(rows);
  }
  disk_.sync_directory(directory_);
  disk_.sync_directory(options_.run_directory);

  Manifest next = manifest_;
  // Saving the same step again (after a resume without progress) replaces its entry.
  std::vector<std::uint64_t> dropped;
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
  manifest_ = std::move(next);
  for (offload::TieredStore* store : stores_) {
    for (const std::uint64_t epoch : dropped) store->release_checkpoint(epoch);
    store->commit_checkpoint(step);
  }
  io::kill_point("checkpoint-committed");
  remove_unnamed_files();
}

std::string Checkpointer::unused_name(std::string name) const {
  // A step saved again must not overwrite a file that the standing manifest names.
  const auto named = [&](const std::string& candidate) {
    for (const CheckpointEntry& entry : manifest_.checkpoints) {
      if (entry.dense == candidate) return true;
      for (const auto& names : entry.tables) {
        if (std::find(names.begin(), names.end(), candidate) != names.end()) return true;
      }
    }
    return false;
  };
  while (named(name)) name = "again-" + name;
  return name;
}

std::vector<std::string> Checkpointer::save_table(std::uint32_t table, std::uint64_t step,
                                                  const offload::TableDelta& delta) {
  std::vector<std::string> chain;
  if (!manifest_.checkpoints.empty()) chain = manifest_.checkpoints.back().tables.at(table);
  RowTableFile file{table, false, delta.next_generation, delta.entries};
  // The chain so far, in bytes: rewritten as one base once its deltas outweigh the base.
  std::uint64_t base_bytes = 0;
  std::uint64_t delta_bytes = delta.entries.size() * kRowTableEntryBytes;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    (i == 0 ? base_bytes : delta_bytes) +=
        disk_
            .open(path(chain[i]),
                  {.read_only = true, .direct = false, .depth = 1, .engine = io::IoEngine::kSync})
            ->size_bytes();
  }
  if (chain.empty() || delta_bytes > base_bytes || chain.size() >= kMaximumChain) {
    offload::CheckpointTable merged = read_chain(table, step, chain);
    apply_delta(merged.entries, delta.entries);
    file.entries = std::move(merged.entries);
    file.base = true;
    chain.clear();
  }
  std::string name =
      fmt::format("table-{}-{:010}{}.rows-table", table, step, file.base ? "-base" : "");
  name = unused_name(std::move(name));
  disk_.write_file(path(name), encode_row_table(file));
  chain.push_back(name);
  return chain;
}

std::uint64_t Checkpointer::save_dense(const std::string& name) {
  std::vector<io::SafetensorsWriter::Declaration> tensors;
  for (const auto& [buffer, prefix] : kSavedBuffers) {
    for (const Parameter& parameter : parameters_->directory()) {
      tensors.push_back({prefix + parameter.declaration.name, io::ElementType::kF32,
                         parameter.declaration.shape});
    }
  }
  io::SafetensorsWriter writer(disk_, path(name), std::move(tensors), {{"format", "mneme"}});
  std::uint64_t checksum = 0;
  for (const auto& [buffer, prefix] : kSavedBuffers) {
    for (const Parameter& parameter : parameters_->directory()) {
      const std::vector<float> values = parameters_->read(stream_, buffer, parameter);
      writer.append(std::as_bytes(std::span(values)));
      checksum = extend_checksum(checksum, values);
    }
  }
  writer.finish();
  return checksum;
}

void Checkpointer::load_dense(const CheckpointEntry& entry) {
  const io::SafetensorsReader reader(disk_, path(entry.dense));
  std::uint64_t checksum = 0;
  for (const auto& [buffer, prefix] : kSavedBuffers) {
    for (const Parameter& parameter : parameters_->directory()) {
      const std::string tensor = prefix + parameter.declaration.name;
      const std::vector<float> values = reader.read_f32(tensor);
      if (reader.info(tensor).shape != parameter.declaration.shape) {
        io::fail("{}: tensor {} has another shape than the configuration's", reader.path(), tensor);
      }
      checksum = extend_checksum(checksum, values);
      parameters_->write(stream_, buffer, parameter, values);
    }
  }
  if (checksum != entry.dense_checksum) {
    io::fail(
        "{}: its tensors do not match the checksum in the manifest; resume from an older "
        "checkpoint or restore the file",
        reader.path());
  }
}

void Checkpointer::remove_unnamed_files() {
  std::set<std::string> named = {"manifest.json"};
  for (const CheckpointEntry& entry : manifest_.checkpoints) {
    named.insert(entry.dense);
    for (const auto& chain : entry.tables) named.insert(chain.begin(), chain.end());
  }
  for (const std::string& name : disk_.list(directory_)) {
    if (!named.contains(name)) disk_.remove(path(name));
  }
}

}  // namespace mneme::engine
