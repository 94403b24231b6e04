// What each block of a model has behind its attention: a feed-forward, or what replaces it. Written
// as text, as in a configuration's model.feed_forward:
//
//   "dense"                         a feed-forward in every block
//   "memory@6,12,18"                memory layers in blocks 6, 12 and 18, counted from 0
//   "peer@4-7"                      PEER in blocks 4 to 7
//   "memory@4 moe@1-11/2"           a memory layer in block 4, mixtures of experts in 1, 3, ... 11
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/enum_names.h"

namespace mneme::engine {

enum class FeedForwardKind { kDense, kMemory, kPeer, kMoe };
constexpr auto enum_names(FeedForwardKind) {
  return std::to_array<io::EnumName<FeedForwardKind>>({{"dense", FeedForwardKind::kDense},
                                                       {"memory", FeedForwardKind::kMemory},
                                                       {"peer", FeedForwardKind::kPeer},
                                                       {"moe", FeedForwardKind::kMoe}});
}

class BlockKinds {
 public:
  static constexpr std::int64_t kMostBlocks = 1024;

  BlockKinds() = default;  // dense
  BlockKinds(FeedForwardKind kind, const std::vector<std::int64_t>& blocks) { set(kind, blocks); }
  // Throws Error saying what is wrong with the text, without naming where it stands.
  static BlockKinds parse(std::string_view text);
  // That parse() reads back; "dense" where nothing is replaced.
  std::string text() const;

  FeedForwardKind of(std::int64_t block) const;
  // REQUIRES: 0 to kMostBlocks - 1.
  void set(FeedForwardKind kind, const std::vector<std::int64_t>& blocks);
  // Ascending. Of kDense none: how many blocks there are is not known here.
  std::vector<std::int64_t> blocks_of(FeedForwardKind kind) const;
  bool has(FeedForwardKind kind) const { return !blocks_of(kind).empty(); }
  // Those whose layers read the value table, ascending: memory layers and PEER.
  std::vector<std::int64_t> table_blocks() const;
  // The last one that is not dense; -1 for none.
  std::int64_t last() const { return kinds_.empty() ? -1 : kinds_.rbegin()->first; }

  bool operator==(const BlockKinds&) const = default;

 private:
  std::map<std::int64_t, FeedForwardKind> kinds_;  // without kDense
};

}  // namespace mneme::engine
