// Books: the numbers of fields.h by account. An account is a cause, a layer and a pass.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>

#include "io/enum_names.h"
#include "offload/ledger/fields.h"

namespace mneme::offload {

// Why rows move.
enum class Cause : std::uint8_t {
  kTraining,
  kEvaluation,
  kSampling,
  kCheckpoint,
  kPrefetch,  // hints, and what it takes to make them
  kExchange,  // records in and out: import, export
};
constexpr auto enum_names(Cause) {
  return std::to_array<io::EnumName<Cause>>({{"training", Cause::kTraining},
                                             {"evaluation", Cause::kEvaluation},
                                             {"sampling", Cause::kSampling},
                                             {"checkpoint", Cause::kCheckpoint},
                                             {"prefetch", Cause::kPrefetch},
                                             {"exchange", Cause::kExchange}});
}

// Which part of a step the rows are for.
enum class Pass : std::uint8_t { kNone, kForward, kBackward, kUpdate };
constexpr auto enum_names(Pass) {
  return std::to_array<io::EnumName<Pass>>({{"none", Pass::kNone},
                                            {"forward", Pass::kForward},
                                            {"backward", Pass::kBackward},
                                            {"update", Pass::kUpdate}});
}

inline constexpr std::int32_t kNoLayer = -1;  // for no layer alone: row updates, checkpoints

struct Account {
  Cause cause = Cause::kTraining;
  std::int32_t layer = kNoLayer;  // index of the block
  Pass pass = Pass::kNone;
  auto operator<=>(const Account&) const = default;
};

inline constexpr Account kCheckpointAccount{Cause::kCheckpoint, kNoLayer};

// The numbers of one account.
class Entry {
 public:
  std::uint64_t& operator[](Field field) { return values_[static_cast<std::size_t>(field)]; }
  std::uint64_t operator[](Field field) const { return values_[static_cast<std::size_t>(field)]; }
  Entry& operator+=(const Entry& other);
  Entry& operator-=(const Entry& other);
  bool operator==(const Entry&) const = default;

  // Rows that came into device memory: from the host tier, from the disk, generated.
  std::uint64_t rows_fetched() const;
  // Rows and bytes read from the disk and written to it.
  std::uint64_t disk_rows_read() const;
  std::uint64_t disk_bytes_read() const;
  std::uint64_t disk_rows_written() const;
  std::uint64_t disk_bytes_written() const;
  // All stall.*.
  std::uint64_t stall_us() const;

 private:
  std::array<std::uint64_t, kFieldCount> values_{};
};

class Books {
 public:
  // The entry of an account, made when it is not there. References stay valid as long as the books.
  Entry& operator[](const Account& account) { return entries_[account]; }
  const std::map<Account, Entry>& entries() const { return entries_; }
  // Of all accounts.
  Entry total() const;
  // Of all layers of one cause, and of one pass of them.
  Entry total(Cause cause) const;
  Entry total(Cause cause, Pass pass) const;
  Books& operator+=(const Books& other);
  // REQUIRES: `earlier` is these books as they were once.
  Books& operator-=(const Books& earlier);
  void clear() { entries_.clear(); }

 private:
  std::map<Account, Entry> entries_;
};

}  // namespace mneme::offload
