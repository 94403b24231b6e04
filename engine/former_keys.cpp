#include "engine/former_keys.h"

#include "io/error.h"

namespace mneme::engine {
namespace {

constexpr const char* kKind = "memory.kind";
constexpr const char* kBlocks = "memory.blocks";
constexpr const char* kNow = "model.feed_forward";

bool is_override(const std::string& place) {
  return place.starts_with("--set ");
}

// Whether a former key counts beside the new one.
bool counts(const KeyPlaces& places, const char* name) {
  const auto place = places.find(name);
  if (place == places.end()) return false;
  const auto now = places.find(kNow);
  if (now == places.end()) return true;
  if (is_override(place->second) == is_override(now->second)) {
    io::fail("{}: {}: is the former name of {}, which is set as well; leave it out", place->second,
             name, kNow);
  }
  return is_override(place->second);
}

}  // namespace

std::vector<Key> former_keys(FormerKeys& former) {
  return {{kKind,
           ChoiceValue{.names = {"none", "memory"},
                       .get = [&former] { return former.memory_kind; },
                       .set = [&former](const std::string& kind) { former.memory_kind = kind; }},
           "Now model.feed_forward."},
          {kBlocks, IntegerListValue{&former.memory_blocks, 0, BlockKinds::kMostBlocks - 1},
           "Now model.feed_forward."}};
}

void apply_former_keys(const FormerKeys& former, const KeyPlaces& places, Config& config) {
  BlockKinds& kinds = config.model.feed_forward;
  const bool has_kind = counts(places, kKind), has_blocks = counts(places, kBlocks);
  if (has_kind && former.memory_kind == "none") {
    kinds.set(FeedForwardKind::kDense, kinds.table_blocks());
    return;
  }
  const std::vector<std::int64_t> before = kinds.blocks_of(FeedForwardKind::kMemory);
  // Blocks alone say where the memory is, if there is one.
  if (has_blocks && (has_kind || !before.empty())) {
    kinds.set(FeedForwardKind::kDense, before);
    kinds.set(FeedForwardKind::kMemory, former.memory_blocks);
  }
  if (has_kind && !kinds.has(FeedForwardKind::kMemory)) {
    io::fail(
        "{}: {}: a memory needs at least one block; write {} = \"memory@4\" for one in block 4",
        places.at(kKind), kKind, kNow);
  }
}

}  // namespace mneme::engine
