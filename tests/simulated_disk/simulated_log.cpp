#include "tests/simulated_disk/simulated_log.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>

#include "io/check.h"
#include "io/random.h"

namespace mneme::io {
namespace {

using Kind = SimulatedOperation::Kind;

constexpr std::size_t kSectorBytes = 512;

bool is_content(Kind kind) {
  return kind == Kind::kWrite || kind == Kind::kReserve || kind == Kind::kTruncate;
}

// Decides for a crash what survives, from (seed, operation) alone.
class Survival {
 public:
  explicit Survival(const CrashPolicy& policy) : policy_(policy) {
    // Some states keep little, some much: bugs hide at both ends.
    constexpr double kShares[] = {0.125, 0.5, 0.875};
    share_ = kShares[SplitMix(policy.seed).below(3)];
  }

  SplitMix generator(std::size_t index) const {
    return SplitMix(policy_.seed * 0x100000001b3 + index * 0x9e3779b97f4a7c15 + 1);
  }
  bool keeps(std::size_t index) const {
    if (policy_.kind == CrashPolicy::Kind::kDropUnsynced) return false;
    if (policy_.kind == CrashPolicy::Kind::kKeepUnsynced) return true;
    return generator(index).chance(share_);
  }
  bool tears() const {
    return policy_.kind == CrashPolicy::Kind::kTear || policy_.kind == CrashPolicy::Kind::kGarbage;
  }
  // A write of which some sectors survive.
  void tear(SimulatedContent& content, const SimulatedOperation& write, std::size_t index) const {
    SplitMix random = generator(index);
    for (std::size_t at = 0; at < write.data.size(); at += kSectorBytes) {
      const std::size_t bytes = std::min(kSectorBytes, write.data.size() - at);
      if (random.chance(share_)) {
        content.write(write.offset + at, {write.data.data() + at, bytes});
      } else if (policy_.kind == CrashPolicy::Kind::kGarbage && random.chance(0.5)) {
        std::byte garbage[kSectorBytes];
        random.fill(garbage);
        content.write(write.offset + at, {garbage, bytes});
      }
    }
  }

 private:
  CrashPolicy policy_;
  double share_ = 0;
};

void apply_content(SimulatedContent& content, const SimulatedOperation& operation) {
  if (operation.kind == Kind::kWrite) content.write(operation.offset, operation.data);
  if (operation.kind == Kind::kReserve) content.grow(operation.offset);
  if (operation.kind == Kind::kTruncate) content.truncate(operation.offset);
}

}  // namespace

void SimulatedContent::write(std::uint64_t offset, std::span<const std::byte> data) {
  const std::uint64_t end = offset + data.size();
  if (bytes.size() < end) bytes.resize(end);
  std::memcpy(bytes.data() + offset, data.data(), data.size());
  grow(end);
}

void SimulatedContent::grow(std::uint64_t new_size) {
  size = std::max(size, new_size);
}

void SimulatedContent::truncate(std::uint64_t new_size) {
  size = new_size;
  if (bytes.size() > new_size) bytes.resize(new_size);
}

void SimulatedContent::read(std::uint64_t offset, std::span<std::byte> out) const {
  const std::uint64_t stored = bytes.size() > offset ? bytes.size() - offset : 0;
  const std::size_t copied = std::min<std::uint64_t>(stored, out.size());
  if (copied > 0) std::memcpy(out.data(), bytes.data() + offset, copied);
  if (copied < out.size()) std::memset(out.data() + copied, 0, out.size() - copied);
}

std::string parent_directory(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

void SimulatedImage::apply(const SimulatedOperation& operation) {
  switch (operation.kind) {
    case Kind::kCreate:
      if (directories.contains(parent_directory(operation.path))) {
        names[operation.path] = operation.inode;
      }
      break;
    case Kind::kRename:
      // After a crash the file may be found under an earlier name, if that rename was lost.
      if (auto from = names.find(operation.path);
          from != names.end() && from->second == operation.inode) {
        names.erase(from);
      } else {
        std::erase_if(names, [&](const auto& name) { return name.second == operation.inode; });
      }
      if (directories.contains(parent_directory(operation.to))) {
        names[operation.to] = operation.inode;
      }
      break;
    case Kind::kRemove:
      names.erase(operation.path);
      break;
    case Kind::kMakeDirectory:
      directories.insert(operation.path);
      break;
    case Kind::kRemoveDirectory:
      // What is still in it, because its own removal was lost, goes with it.
      std::erase_if(
          names, [&](const auto& name) { return parent_directory(name.first) == operation.path; });
      directories.erase(operation.path);
      break;
    case Kind::kWrite:
    case Kind::kReserve:
    case Kind::kTruncate:
      apply_content(inodes.at(operation.inode), operation);
      break;
    case Kind::kSyncDirectory:
    case Kind::kSync:
    case Kind::kFailedSync:
      break;
  }
}

void CrashReplay::follow(const std::vector<SimulatedOperation>& log, std::size_t boundary) {
  CHECK(boundary >= position_ && boundary <= log.size());
  for (; position_ < boundary; ++position_) {
    const SimulatedOperation& operation = log[position_];
    switch (operation.kind) {
      case Kind::kMakeDirectory:
        durable_.apply(operation);
        break;
      case Kind::kSync:
        sync_content(log, operation);
        break;
      case Kind::kFailedSync:
        for (Pending& pending : pending_) {
          const SimulatedOperation& other = log[pending.index];
          if (is_content(other.kind) && other.inode == operation.inode) pending.doomed = true;
        }
        break;
      case Kind::kSyncDirectory:
        sync_directory(log, operation.path);
        break;
      case Kind::kCreate:
        if (durable_.inodes.size() <= operation.inode) durable_.inodes.resize(operation.inode + 1);
        pending_.push_back({position_});
        break;
      default:
        pending_.push_back({position_});
    }
  }
}

void CrashReplay::sync_content(const std::vector<SimulatedOperation>& log,
                               const SimulatedOperation& sync) {
  std::erase_if(pending_, [&](const Pending& pending) {
    const SimulatedOperation& operation = log[pending.index];
    if (!is_content(operation.kind) || operation.inode != sync.inode || pending.doomed)
      return false;
    if (std::ranges::find(sync.in_flight, pending.index) != sync.in_flight.end()) return false;
    durable_.apply(operation);
    return true;
  });
}

void CrashReplay::sync_directory(const std::vector<SimulatedOperation>& log,
                                 const std::string& directory) {
  for (Pending& pending : pending_) {
    const SimulatedOperation& operation = log[pending.index];
    if (is_content(operation.kind)) continue;
    if (parent_directory(operation.path) == directory) pending.from_synced = true;
    const bool rename = operation.kind == Kind::kRename;
    if (parent_directory(rename ? operation.to : operation.path) == directory) {
      pending.to_synced = true;
    }
  }
  std::erase_if(pending_, [&](const Pending& pending) {
    if (!pending.from_synced || !pending.to_synced) return false;
    durable_.apply(log[pending.index]);
    return true;
  });
}

SimulatedImage CrashReplay::crash(const std::vector<SimulatedOperation>& log,
                                  const CrashPolicy& policy) const {
  const Survival survival(policy);
  // Names first: only what can still be found afterwards is copied.
  SimulatedImage after;
  after.names = durable_.names;
  after.directories = durable_.directories;
  for (const Pending& pending : pending_) {
    const SimulatedOperation& operation = log[pending.index];
    if (!is_content(operation.kind) && survival.keeps(pending.index)) after.apply(operation);
  }
  constexpr std::uint32_t kUnreachable = std::numeric_limits<std::uint32_t>::max();
  std::vector<std::uint32_t> renumbered(durable_.inodes.size(), kUnreachable);
  for (auto& [path, inode] : after.names) {
    CHECK(renumbered[inode] == kUnreachable, "{}: a second name of its file", path);
    renumbered[inode] = static_cast<std::uint32_t>(after.inodes.size());
    after.inodes.push_back(durable_.inodes[inode]);
    inode = renumbered[inode];
  }
  for (const Pending& pending : pending_) {
    const SimulatedOperation& operation = log[pending.index];
    if (!is_content(operation.kind) || renumbered[operation.inode] == kUnreachable) continue;
    SimulatedContent& content = after.inodes[renumbered[operation.inode]];
    if (operation.kind == Kind::kWrite && survival.tears()) {
      survival.tear(content, operation, pending.index);
    } else if (survival.keeps(pending.index)) {
      apply_content(content, operation);
    }
  }
  return after;
}

}  // namespace mneme::io
