#include "engine/prefetch/predictor_file.h"

#include <span>

#include "engine/run_files.h"
#include "io/error.h"
#include "io/log.h"
#include "io/safetensors.h"

namespace mneme::engine {

std::string predictors_path(const std::string& run_directory) {
  return run_directory + "/predictors.safetensors";
}

namespace {

bool is_of_run(const io::SafetensorsReader& reader, std::uint64_t run_id) {
  const auto run = reader.metadata().find("run");
  return run != reader.metadata().end() && run->second == run_id_text(run_id);
}

// Nothing but a run's own files is ever replaced.
bool may_replace(io::Disk& disk, const std::string& path, std::uint64_t run_id) {
  return !disk.exists(path) || is_of_run(io::SafetensorsReader(disk, path), run_id);
}

}  // namespace

void save_predictors(io::Disk& disk, const std::string& path, std::uint64_t run_id,
                     const NamedMaps& maps) {
  if (maps.empty()) return;
  std::vector<io::SafetensorsWriter::Declaration> tensors;
  for (const auto& [name, map] : maps) {
    tensors.push_back({name, io::ElementType::kF64, {std::ssize(map->sums())}});
  }
  try {
    if (!may_replace(disk, path, run_id)) io::fail("{} is not of this run", path);
    io::SafetensorsWriter writer(disk, path, std::move(tensors), {{"run", run_id_text(run_id)}});
    for (const auto& [name, map] : maps) writer.append(std::as_bytes(std::span(map->sums())));
    writer.finish();
  } catch (const io::Error& error) {
    io::warn("what predictors have learned is not saved: {}", error.what());
  }
}

void load_predictors(io::Disk& disk, const std::string& path, std::uint64_t run_id,
                     kernels::Stream& stream, const NamedMaps& maps) {
  if (maps.empty() || !disk.exists(path)) return;
  try {
    const io::SafetensorsReader reader(disk, path);
    if (!is_of_run(reader, run_id)) return;
    for (const auto& [name, map] : maps) {
      if (!reader.contains(name)) continue;
      const io::TensorInfo& info = reader.info(name);
      const bool fits =
          info.type == io::ElementType::kF64 && info.element_count() == std::ssize(map->sums());
      if (fits) map->restore(stream, reader.read_f64(name));
    }
  } catch (const io::Error& error) {
    io::warn("predictors start afresh: {}", error.what());
  }
}

}  // namespace mneme::engine
