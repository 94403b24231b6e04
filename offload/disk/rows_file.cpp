#include "offload/disk/rows_file.h"

#include <algorithm>
#include <array>
#include <vector>

#include "io/advice.h"
#include "io/aligned_buffer.h"
#include "io/checksum.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/progress.h"
#include "io/record_file.h"

namespace mneme::offload {

using Progress = std::function<void(std::uint64_t, std::uint64_t)>;

io::RecordFileShape stripe_shape(const io::RecordFileShape& table, std::size_t stripe,
                                 std::size_t stripes) {
  io::RecordFileShape shape = table;
  const std::uint64_t parts[] = {table.table_id, stripe, stripes};
  if (stripes > 1) shape.table_id = io::checksum64(std::as_bytes(std::span(parts)));
  return shape;
}

namespace {

// The entries of all tables, each once.
std::vector<TableEntry> entries_of(std::span<const CheckpointTable> tables) {
  std::vector<TableEntry> entries;
  for (const CheckpointTable& table : tables) {
    entries.insert(entries.end(), table.entries.begin(), table.entries.end());
  }
  const auto order = [](const TableEntry& a, const TableEntry& b) {
    return std::tie(a.slot, a.generation, a.row) < std::tie(b.slot, b.generation, b.row);
  };
  std::sort(entries.begin(), entries.end(), order);
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  return entries;
}

// An entry, with its slot in its file, and its place among those that were asked for.
struct Wanted {
  TableEntry entry;
  std::size_t index = 0;
};

// Reads a file of records and checks them.
class FileReader {
 public:
  // entries: in the order of slots.
  FileReader(io::Disk& disk, const std::string& path, const io::RecordFileShape& shape,
             const io::OpenOptions& options, std::span<const Wanted> entries, const UseRecord& use)
      : path_(path),
        entries_(entries),
        use_(use),
        file_(io::RecordFile::open(disk, path, shape, options)),
        run_slots_(std::max<std::uint32_t>(1, kRunBytes / file_.slot_bytes())),
        buffers_(std::max(1u, std::min(file_.file().depth(), kMostBuffers))),
        memory_(std::size_t{buffers_} * run_slots_ * file_.slot_bytes(), file_.file().alignment()),
        runs_(buffers_) {
    for (std::uint32_t i = buffers_; i-- > 0;) free_.push_back(i);
  }
  // What is in flight lands in memory_.
  ~FileReader() {
    try {
      std::array<io::BlockCompletion, 64> ignored;
      while (file_.file().in_flight() > 0) file_.file().poll(ignored, true);
    } catch (const std::exception&) {
      // Nobody is left to tell.
    }
  }
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  // Throws Error at the first record that does not verify.
  void run() {
    std::array<io::BlockCompletion, 64> completions;
    std::size_t done = 0;
    while (done < entries_.size()) {
      while (!free_.empty() && next_run()) continue;
      const std::size_t count = file_.file().poll(completions, true);
      for (std::size_t i = 0; i < count; ++i) {
        const auto buffer = static_cast<std::uint32_t>(completions[i].tag);
        done += finish(buffer, completions[i].error);
        free_.push_back(buffer);
      }
    }
  }

  std::uint64_t slot_bytes() const { return file_.slot_bytes(); }

 private:
  // Long enough for the speed of the disk, and a few of them at a time.
  static constexpr std::uint32_t kRunBytes = std::uint32_t{1} << 20, kMostBuffers = 16;
  // Slots that nobody asks for are read along up to so many.
  static constexpr std::uint32_t kMostSkipped = 8;

  // Entries whose slots lie near each other.
  struct Run {
    std::size_t first = 0, count = 0;
  };

  std::uint32_t slot(std::size_t entry) const { return entries_[entry].entry.slot; }
  std::byte* data(std::uint32_t buffer) {
    return memory_.data() + std::size_t{buffer} * run_slots_ * file_.slot_bytes();
  }

  // Starts the next read; false where none is left or the file takes no more.
  bool next_run() {
    Run run;
    const bool again = !single_.empty();
    if (again) {
      run = {single_.back(), 1};
    } else if (next_ < entries_.size()) {
      run = {next_, 1};
      const std::uint32_t begin = slot(next_);
      while (next_ + run.count < entries_.size()) {
        const std::uint32_t next = slot(next_ + run.count);
        if (next - slot(next_ + run.count - 1) > kMostSkipped) break;
        if (next - begin >= run_slots_) break;
        ++run.count;
      }
    } else {
      return false;
    }
    const std::uint32_t buffer = free_.back();
    const std::uint32_t begin = slot(run.first);
    const std::uint32_t slots = slot(run.first + run.count - 1) - begin + 1;
    if (!file_.submit_read(data(buffer), begin, buffer, slots)) return false;
    free_.pop_back();
    runs_[buffer] = run;
    if (again) {
      single_.pop_back();
    } else {
      next_ += run.count;
    }
    return true;
  }

  // The records that are done.
  std::size_t finish(std::uint32_t buffer, int error) {
    const Run run = runs_[buffer];
    if (error != 0 && run.count > 1) {
      // One of them; which, is seen when each is read by itself.
      for (std::size_t i = run.count; i-- > 0;) single_.push_back(run.first + i);
      return 0;
    }
    for (std::size_t i = run.first; i < run.first + run.count; ++i) {
      const TableEntry& entry = entries_[i].entry;
      if (error != 0) {
        io::fail("{}: cannot read row {} in disk slot {}: {}", path_, entry.row, entry.slot,
                 io::errno_text(error));
      }
      const std::size_t offset = std::size_t{entry.slot - slot(run.first)} * file_.slot_bytes();
      const auto reason =
          file_.mismatch(data(buffer) + offset, {entry.row, entry.slot, entry.generation});
      if (reason) {
        io::fail("{}: row {} in disk slot {} is damaged ({}); {}", path_, entry.row, entry.slot,
                 *reason, io::kOlderCheckpoint);
      }
      use_(entries_[i].index, data(buffer) + offset + io::RecordFile::kPayloadOffset);
    }
    return run.count;
  }

  const std::string& path_;
  std::span<const Wanted> entries_;
  const UseRecord& use_;
  io::RecordFile file_;
  std::uint32_t run_slots_, buffers_;
  io::AlignedBuffer memory_;
  std::vector<Run> runs_;            // by buffer
  std::vector<std::uint32_t> free_;  // buffers
  std::size_t next_ = 0;             // entry
  std::vector<std::size_t> single_;  // entries that are read again
};

}  // namespace

std::uint64_t read_rows_files(io::Disk& disk, const RowsFiles& files,
                              std::span<const TableEntry> entries, const UseRecord& use) {
  std::uint64_t bytes = 0;
  const auto stripes = static_cast<std::uint32_t>(files.paths.size());
  for (std::uint32_t stripe = 0; stripe < stripes; ++stripe) {
    std::vector<Wanted> mine;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const TableEntry& entry = entries[i];
      if (entry.slot % stripes != stripe) continue;
      mine.push_back({{entry.row, entry.slot / stripes, entry.generation}, i});
    }
    if (mine.empty()) continue;
    std::sort(mine.begin(), mine.end(),
              [](const Wanted& a, const Wanted& b) { return a.entry.slot < b.entry.slot; });
    FileReader reader(disk, files.paths[stripe], stripe_shape(files.shape, stripe, stripes),
                      files.open, mine, use);
    reader.run();
    bytes += mine.size() * reader.slot_bytes();
  }
  return bytes;
}

VerifiedRows verify_rows_files(io::Disk& disk, const RowsFiles& files,
                               std::span<const CheckpointTable> tables, const Progress& progress) {
  constexpr std::uint64_t kTold = 4096;
  const std::vector<TableEntry> all = entries_of(tables);
  io::Phase phase("reading the records", all.size(), "records");
  VerifiedRows verified;
  verified.bytes = read_rows_files(disk, files, all, [&](std::size_t, const std::byte*) {
    if (++verified.records % kTold != 0) return;
    phase.reach(verified.records);
    if (progress) progress(verified.records, all.size());
  });
  return verified;
}

}  // namespace mneme::offload
