#include "engine/checkpoint.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "engine/checkpoint_files.h"
#include "io/advice.h"
#include "io/check.h"
#include "io/checksum.h"
#include "io/error.h"
#include "io/log.h"
#include "io/progress.h"
#include "io/safetensors.h"

namespace mneme::engine {
namespace {

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

std::uint64_t bytes_of(std::span<const io::TensorInfo> tensors) {
  std::uint64_t bytes = 0;
  for (const io::TensorInfo& tensor : tensors) bytes += tensor.end - tensor.begin;
  return bytes;
}

}  // namespace

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
  const std::vector<RowTableLink> chain = row_table_links(directory, entry.tables[table]);
  for (const RowTableLink& link : chain) require(disk, link.path);
  const RowTableChain files(disk, table, chain);
  offload::CheckpointTable merged;
  merged.epoch = entry.step;
  merged.next_generation = files.next_generation();
  merged.entries.reserve(files.most_entries());
  io::Phase phase("reading the row table", files.most_entries(), "rows");
  files.for_each(nullptr, [&](const offload::TableEntry& row) {
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

}  // namespace mneme::engine
