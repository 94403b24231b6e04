// Writing a checkpoint: a thread for its files, beside whoever trains, or waits.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "engine/checkpoint.h"
#include "engine/checkpoint_files.h"
#include "engine/run_files.h"
#include "io/check.h"
#include "io/checksum.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/progress.h"
#include "io/safetensors.h"

namespace mneme::engine {
namespace {

constexpr std::size_t kMaximumChain = 64;
constexpr std::chrono::milliseconds kProgressEvery{100};

RowPlaces row_places(offload::TieredStore& store) {
  const offload::TierUse use = store.tier_use();
  const std::uint64_t touched = std::min(use.touched_rows, use.table_rows);
  const std::uint64_t in_memory = use.device_rows + use.host_rows;
  return {.device = use.device_rows,
          .host = use.host_rows,
          .disk = touched - std::min(touched, in_memory),
          .untouched = use.table_rows - touched};
}

}  // namespace

// A checkpoint under way. What stands behind the mutex is passed between the threads; the rest is
// the checkpoint's thread's.
struct Checkpointer::Save {
  // Waits until `is_so` holds. Throws Error when nobody wants the checkpoint any more.
  template <typename Condition>
  void await(const Condition& is_so) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return is_abandoned || is_so(); });
    if (is_abandoned) io::fail("the checkpoint was given up");
  }
  void set(bool& flag) {
    const std::lock_guard lock(mutex);
    flag = true;
    changed.notify_all();
  }

  std::uint64_t step = 0;
  RunRecord run;
  CheckpointEntry entry;
  std::vector<std::uint64_t> dropped;  // steps
  std::unique_ptr<kernels::Stream> stream;
  std::atomic<std::uint64_t> dense_bytes{0};  // written

  std::mutex mutex;
  std::condition_variable changed;
  // Of whoever trains.
  bool rows_written = false, is_abandoned = false;
  std::optional<MarkedMetrics> metrics;
  // Of the thread.
  bool parameters_read = false, files_written = false, is_over = false;
  std::exception_ptr failure;

  std::thread thread;
};

Checkpointer::Checkpointer(io::Disk& disk, kernels::Backend& backend, kernels::Stream& stream,
                           Parameters& parameters, std::vector<offload::TieredStore*> stores,
                           const CheckpointOptions& options)
    : disk_(disk),
      backend_(backend),
      stream_(stream),
      parameters_(parameters),
      stores_(std::move(stores)),
      options_(options),
      directory_(checkpoints_directory(options.run_directory)) {
  CHECK(options_.keep >= 1);
}

Checkpointer::~Checkpointer() {
  if (!save_) return;
  save_->set(save_->is_abandoned);
  save_->thread.join();
}

// ---- Whoever trains.

void Checkpointer::require_no_failure() const {
  if (failure_.empty()) return;
  io::fail("an earlier checkpoint failed ({}); resume from the last one", failure_);
}

template <typename Work>
void Checkpointer::or_keep_failure(const Work& work) {
  require_no_failure();
  try {
    work();
  } catch (const std::exception& error) {
    // The disk may hold the new manifest already: writing on would remove what it names.
    failure_ = error.what();
    if (save_) {
      save_->set(save_->is_abandoned);
      save_->thread.join();
      save_.reset();
    }
    throw;
  }
}

void Checkpointer::save(std::uint64_t step, const RunRecord& run, const MarkMetrics& metrics) {
  or_keep_failure([&] {
    start(step, run);
    for (offload::TieredStore* store : stores_) store->write_checkpoint();
    set_rows_written();
    await_files();
    set_metrics(metrics());
  });
  finish();
}

void Checkpointer::begin(std::uint64_t step, const RunRecord& run, const MarkMetrics& metrics) {
  or_keep_failure([&] {
    start(step, run);
    set_metrics(metrics());
  });
}

void Checkpointer::start(std::uint64_t step, const RunRecord& run) {
  CHECK(!is_saving(), "a checkpoint is under way");
  disk_.make_directories(directory_);
  auto save = std::make_unique<Save>();
  save->step = step;
  save->run = run;
  save->entry.step = step;
  save->stream = backend_.create_stream();
  for (offload::TieredStore* store : stores_) {
    save->entry.rows.push_back(row_places(*store));
    store->begin_checkpoint(save->step);
  }
  try {
    save->thread = std::thread([this, &save = *save] { write_files(save); });
  } catch (const std::system_error& refused) {
    io::fail("{}: cannot start a thread for a checkpoint: {}; raise the limit (ulimit -u)",
             directory_, io::errno_text(refused.code().value()));
  }
  save_ = std::move(save);
}

void Checkpointer::set_rows_written() {
  save_->set(save_->rows_written);
}

void Checkpointer::set_metrics(const MarkedMetrics& metrics) {
  const std::lock_guard lock(save_->mutex);
  save_->metrics = metrics;
  save_->changed.notify_all();
}

// Not one that has failed.
bool Checkpointer::wants_rows() const {
  const std::lock_guard lock(save_->mutex);
  return !save_->rows_written && !save_->is_over;
}

bool Checkpointer::rows_are_written() {
  bool all = true;
  for (offload::TieredStore* store : stores_) all = store->checkpoint_is_written() && all;
  return all;
}

bool Checkpointer::poll() {
  require_no_failure();
  if (!is_saving()) return true;
  bool is_over = false;
  or_keep_failure([&] {
    if (wants_rows() && rows_are_written()) set_rows_written();
    const std::lock_guard lock(save_->mutex);
    is_over = save_->is_over;
  });
  if (is_over) finish();
  return is_over;
}

void Checkpointer::finish() {
  require_no_failure();
  if (!is_saving()) return;
  or_keep_failure([&] {
    if (wants_rows()) {
      for (offload::TieredStore* store : stores_) store->write_checkpoint();
      set_rows_written();
    }
    save_->await([this] { return save_->is_over; });
    save_->thread.join();
    const std::unique_ptr<Save> save = std::move(save_);
    if (save->failure) std::rethrow_exception(save->failure);
    for (offload::TieredStore* store : stores_) {
      for (const std::uint64_t epoch : save->dropped) store->release_checkpoint(epoch);
      store->commit_checkpoint(save->step);
    }
  });
}

void Checkpointer::await_parameters() {
  if (!is_saving()) return;
  save_->await([this] { return save_->parameters_read || save_->is_over; });
}

// Shows how far the dense part is.
void Checkpointer::await_files() {
  const std::uint64_t bytes = static_cast<std::uint64_t>(parameters_.parameter_count()) *
                              std::size(kSavedBuffers) * sizeof(float);
  io::Phase phase("dense part", bytes);
  std::unique_lock lock(save_->mutex);
  const auto is_written = [this] { return save_->files_written || save_->is_over; };
  while (!save_->changed.wait_for(lock, kProgressEvery, is_written)) {
    phase.reach(save_->dense_bytes);
  }
  if (save_->failure) std::rethrow_exception(save_->failure);
}

// ---- The checkpoint's thread.

void Checkpointer::write_files(Save& save) {
  try {
    backend_.use_in_this_thread();
    // What an interrupted save left behind goes first: it may be what fills the disk.
    remove_unnamed_files();
    save.entry.dense = save_dense(save);
    save.await([&] { return save.rows_written; });
    write_tables(save);
    save.set(save.files_written);
    save.await([&] { return save.metrics.has_value(); });
    write_manifest_of(save);
  } catch (...) {
    save.failure = std::current_exception();
  }
  save.set(save.is_over);
}

void Checkpointer::write_tables(Save& save) {
  for (std::uint32_t table = 0; table < stores_.size(); ++table) {
    stores_[table]->sync_checkpoint();
    save.entry.tables.push_back(save_table(table, save.step, stores_[table]->checkpoint_changes()));
  }
  if (stores_.empty()) return;
  const std::string rows = rows_directory(options_.run_directory);
  disk_.make_directories(rows);
  disk_.sync_directory(rows);
}

void Checkpointer::write_manifest_of(Save& save) {
  if (save.metrics->make_durable) save.metrics->make_durable();
  save.entry.metrics = save.metrics->mark;
  disk_.sync_directory(options_.run_directory);

  Manifest next = {save.run, kept_};
  // Saving the same step again (after a resume without progress) replaces its entry.
  for (const CheckpointEntry& old : abandoned_) save.dropped.push_back(old.step);
  std::erase_if(next.checkpoints, [&](const CheckpointEntry& old) {
    if (old.step >= save.step) save.dropped.push_back(old.step);
    return old.step >= save.step;
  });
  next.checkpoints.push_back(std::move(save.entry));
  while (next.checkpoints.size() > options_.keep) {
    save.dropped.push_back(next.checkpoints.front().step);
    next.checkpoints.erase(next.checkpoints.begin());
  }
  write_manifest(disk_, directory_, next);
  kept_ = std::move(next.checkpoints);
  abandoned_.clear();
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
                                                offload::TableChanges changes) {
  std::vector<NamedFile> chain;
  if (!kept_.empty()) chain = kept_.back().tables.at(table);
  // The chain so far, in bytes: rewritten as one base once its deltas outweigh the base.
  std::uint64_t base_bytes = 0;
  std::uint64_t delta_bytes = changes.count() * kRowTableEntryBytes;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    (i == 0 ? base_bytes : delta_bytes) += io::file_bytes(disk_, path(chain[i].name));
  }
  const bool base = chain.empty() || delta_bytes > base_bytes || chain.size() >= kMaximumChain;
  NamedFile file;
  file.name =
      unused_name(fmt::format("table-{}-{:010}{}.rows-table", table, step, base ? "-base" : ""));
  if (base) {
    const RowTableChain merged(disk_, table, row_table_links(directory_, chain));
    file.checksum = write_row_table_base(disk_, path(file.name), table, merged, std::move(changes));
    chain.clear();
  } else {
    file.checksum = write_row_table_delta(disk_, path(file.name), table, std::move(changes));
  }
  chain.push_back(std::move(file));
  return chain;
}

NamedFile Checkpointer::save_dense(Save& save) {
  NamedFile file{unused_name(fmt::format("dense-{:010}.safetensors", save.step)), 0};
  std::vector<io::SafetensorsWriter::Declaration> tensors;
  for (const auto& [buffer, prefix] : kSavedBuffers) {
    for (const Parameter& parameter : parameters_.directory()) {
      tensors.push_back({std::string(prefix) + parameter.declaration.name, io::ElementType::kF32,
                         parameter.declaration.shape});
    }
  }
  std::size_t left = tensors.size();
  io::SafetensorsWriter writer(disk_, path(file.name), std::move(tensors),
                               {{"format", "mneme"}, {"run", run_id_text(options_.run_id)}});
  for (const auto& [buffer, prefix] : kSavedBuffers) {
    for (const Parameter& parameter : parameters_.directory()) {
      const std::vector<float> values = parameters_.read(*save.stream, buffer, parameter);
      if (--left == 0) save.set(save.parameters_read);
      writer.append(std::as_bytes(std::span(values)));
      file.checksum = io::extend_checksum(file.checksum, std::as_bytes(std::span(values)));
      save.dense_bytes += values.size() * sizeof(float);
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
