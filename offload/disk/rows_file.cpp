#include "offload/disk/rows_file.h"

#include <algorithm>
#include <array>
#include <vector>

#include "io/advice.h"
#include "io/aligned_buffer.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/progress.h"

namespace mneme::offload {
VerifiedRows verify_rows_file(io::Disk& disk, const RowsFile& rows_file,
                              std::span<const CheckpointTable> tables,
                              const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  // In the order of slots: the disk is read front to back.
  std::vector<TableEntry> entries;
  for (const CheckpointTable& table : tables) {
    entries.insert(entries.end(), table.entries.begin(), table.entries.end());
  }
  const auto order = [](const TableEntry& a, const TableEntry& b) {
    return std::tie(a.slot, a.generation, a.row) < std::tie(b.slot, b.generation, b.row);
  };
  std::sort(entries.begin(), entries.end(), order);
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  if (entries.empty()) return {};

  io::AlignedBuffer memory;  // must outlive the file, whose reads land in it
  io::RecordFile file = io::RecordFile::open(disk, rows_file.path, rows_file.shape, rows_file.open);
  const std::size_t slot_bytes = file.slot_bytes();
  const std::size_t buffers = file.file().depth();
  memory = io::AlignedBuffer(buffers * slot_bytes, file.file().alignment());

  std::size_t started = 0;
  std::size_t done = 0;
  std::vector<std::size_t> entry_of(buffers);
  std::vector<std::size_t> free_buffers;
  for (std::size_t i = buffers; i-- > 0;) free_buffers.push_back(i);
  std::array<io::BlockCompletion, 64> completions;
  io::Phase phase("reading the records", entries.size(), "records");
  // Of the first damaged record: told once what is in flight has landed in its memory.
  std::string failure;
  while (done < (failure.empty() ? entries.size() : started)) {
    while (failure.empty() && !free_buffers.empty() && started < entries.size()) {
      const std::size_t buffer = free_buffers.back();
      if (!file.submit_read(memory.data() + buffer * slot_bytes, entries[started].slot, buffer)) {
        break;
      }
      free_buffers.pop_back();
      entry_of[buffer] = started++;
    }
    const std::size_t count = file.file().poll(completions, true);
    for (std::size_t i = 0; i < count; ++i) {
      const auto buffer = static_cast<std::size_t>(completions[i].tag);
      const TableEntry& entry = entries[entry_of[buffer]];
      std::optional<std::string> reason;
      if (completions[i].error != 0) {
        // Nobody knows what is there: the disk has not said.
        if (failure.empty()) {
          failure = fmt::format("{}: cannot read row {} in disk slot {}: {}", rows_file.path,
                                entry.row, entry.slot, io::errno_text(completions[i].error));
        }
      } else {
        reason = file.mismatch(memory.data() + buffer * slot_bytes,
                               {entry.row, entry.slot, entry.generation});
      }
      if (reason && failure.empty()) {
        failure = fmt::format("{}: row {} in disk slot {} is damaged ({}); {}", rows_file.path,
                              entry.row, entry.slot, *reason, io::kOlderCheckpoint);
      }
      free_buffers.push_back(buffer);
      ++done;
      phase.add(1);
      if (progress && done % 4096 == 0) progress(done, entries.size());
    }
  }
  if (!failure.empty()) throw io::Error(failure);
  return {entries.size(), entries.size() * slot_bytes};
}

}  // namespace mneme::offload
