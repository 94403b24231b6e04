#include "offload/trace/trace_events.h"

#include <algorithm>
#include <limits>

#include "io/check.h"
#include "io/error.h"

namespace mneme::offload {
namespace {

constexpr std::uint32_t kMostListed = std::numeric_limits<std::uint32_t>::max();

// The mode of a lease.
constexpr std::uint64_t kReadOnly = 1, kMovesRecords = 2, kAscending = 4, kChangesRows = 8,
                        kInParts = 16;

void put(std::vector<std::byte>& out, std::uint64_t number) {
  while (number >= 0x80) {
    out.push_back(static_cast<std::byte>(number | 0x80));
    number >>= 7;
  }
  out.push_back(static_cast<std::byte>(number));
}

std::uint64_t take(std::span<const std::byte>& bytes) {
  std::uint64_t number = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (bytes.empty()) io::fail("it ends within a number");
    const auto byte = static_cast<std::uint64_t>(bytes.front());
    bytes = bytes.subspan(1);
    if (shift == 63 && byte > 1) break;
    number |= (byte & 0x7f) << shift;
    if (byte < 0x80) return number;
  }
  io::fail("a number is beyond 64 bits");
}

std::uint64_t take_below(std::span<const std::byte>& bytes, std::uint64_t limit, const char* what) {
  const std::uint64_t number = take(bytes);
  if (number >= limit) io::fail("{} is {}, and must be below {}", what, number, limit);
  return number;
}

bool take_flag(std::span<const std::byte>& bytes, const char* what) {
  return take_below(bytes, 2, what) != 0;
}

template <typename Enum>
Enum take_named(std::span<const std::byte>& bytes, const char* what) {
  const auto value = static_cast<Enum>(take_below(bytes, 256, what));
  for (const auto& name : enum_names(Enum{})) {
    if (name.value == value) return value;
  }
  io::fail("{} is {}, which there is none of", what, static_cast<int>(value));
}

// Neighbours are near each other, in lists that ascend and in tokens of a text alike.
std::uint64_t zigzag(std::int64_t difference) {
  return static_cast<std::uint64_t>(difference) << 1 ^ static_cast<std::uint64_t>(difference >> 63);
}
std::int64_t unzigzag(std::uint64_t number) {
  return static_cast<std::int64_t>(number >> 1) ^ -static_cast<std::int64_t>(number & 1);
}

bool ascends(TraceKind kind) {
  return kind == TraceKind::kLease || kind == TraceKind::kStart;
}
bool has_list(TraceKind kind) {
  return ascends(kind) || kind == TraceKind::kHint || kind == TraceKind::kTokens ||
         kind == TraceKind::kLookups;
}

// 0 and the list, or the place of an earlier one, from 1 on.
void put_list(const TraceEvent& event, TraceLists& lists, std::vector<std::byte>& out) {
  const std::size_t place = lists.find(event.list);
  if (place < TraceLists::kKept) {
    put(out, place + 1);
    return;
  }
  put(out, 0);
  put(out, event.list.size());
  std::int64_t before = -1;
  for (const std::uint32_t x : event.list) {
    const std::int64_t difference = std::int64_t{x} - before;
    put(out, ascends(event.kind) ? static_cast<std::uint64_t>(difference - 1) : zigzag(difference));
    before = x;
  }
  lists.add(event.list);
}

std::vector<std::uint32_t> take_list(TraceKind kind, std::span<const std::byte>& bytes,
                                     TraceLists& lists) {
  const std::uint64_t place = take_below(bytes, lists.size() + 1, "a repeated list");
  if (place > 0) return lists.at(static_cast<std::size_t>(place - 1));
  const std::uint64_t count = take(bytes);
  if (count > bytes.size()) io::fail("a list of {} is longer than what is left", count);
  std::vector<std::uint32_t> list;
  list.reserve(static_cast<std::size_t>(count));
  std::int64_t before = -1;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t number = take(bytes);
    const std::int64_t difference =
        ascends(kind) ? static_cast<std::int64_t>(number) + 1 : unzigzag(number);
    if (number > std::uint64_t{1} << 34 || before + difference < 0 ||
        before + difference > std::int64_t{kMostListed}) {
      io::fail("an entry of a list is beyond 32 bits");
    }
    before += difference;
    list.push_back(static_cast<std::uint32_t>(before));
  }
  lists.add(list);
  return list;
}

void put_account(const Account& account, std::vector<std::byte>& out) {
  put(out, static_cast<std::uint64_t>(account.cause));
  put(out, static_cast<std::uint64_t>(account.layer + 1));
  put(out, static_cast<std::uint64_t>(account.pass));
}
Account take_account(std::span<const std::byte>& bytes) {
  Account account;
  account.cause = take_named<Cause>(bytes, "the cause");
  account.layer = static_cast<std::int32_t>(take_below(bytes, 1 << 16, "the layer")) - 1;
  account.pass = take_named<Pass>(bytes, "the pass");
  return account;
}

template <typename Tiers, typename Visit>
void for_each_number(Tiers& tiers, const Visit& visit) {
  for (auto* number : {&tiers.device_slots, &tiers.evaluation_slots, &tiers.host_slots,
                       &tiers.record_bytes, &tiers.device_slot_bytes, &tiers.host_slot_bytes,
                       &tiers.evaluation_millionths, &tiers.disks, &tiers.disk_bytes,
                       &tiers.transfer_rows, &tiers.host_link, &tiers.disk_link}) {
    visit(*number);
  }
}

}  // namespace

std::size_t TraceLists::find(std::span<const std::uint32_t> list) const {
  if (list.size() < kFewest) return kKept;
  for (std::size_t i = 0; i < lists_.size(); ++i) {
    if (std::ranges::equal(lists_[i], list)) return i;
  }
  return kKept;
}

void TraceLists::add(std::span<const std::uint32_t> list) {
  if (list.size() < kFewest) return;
  std::vector<std::uint32_t> copy;
  if (lists_.size() == kKept) {
    copy = std::move(lists_.back());
    lists_.pop_back();
  }
  copy.assign(list.begin(), list.end());
  lists_.push_front(std::move(copy));
}

void encode(const TraceEvent& event, TraceLists& lists, std::vector<std::byte>& out) {
  out.push_back(static_cast<std::byte>(event.kind));
  put(out, event.number);
  switch (event.kind) {
    case TraceKind::kStart:
      put(out, event.continues ? 1 : 0);
      for_each_number(event.tiers, [&](std::uint64_t number) { put(out, number); });
      put(out, static_cast<std::uint64_t>(event.tiers.device_policy));
      put(out, static_cast<std::uint64_t>(event.tiers.host_policy));
      break;
    case TraceKind::kLease:
      put_account(event.account, out);
      put(out, (event.read_only ? kReadOnly : 0) + (event.moves_records ? kMovesRecords : 0) +
                   (event.ascending ? kAscending : 0) + (event.changes_rows ? kChangesRows : 0) +
                   (event.part_rows > 0 ? kInParts : 0));
      if (event.part_rows > 0) put(out, event.part_rows);
      break;
    case TraceKind::kHint:
      put_account(event.account, out);
      put(out, (event.to_device ? 1 : 0) + (event.of_running_step ? 2 : 0));
      break;
    case TraceKind::kLookups:
      put_account(event.account, out);
      put(out, event.lookups_per_token);
      put(out, event.sequence);
      break;
    default:
      break;
  }
  if (has_list(event.kind)) put_list(event, lists, out);
}

TraceEvent decode(std::span<const std::byte>& bytes, TraceLists& lists) {
  TraceEvent event;
  event.kind = take_named<TraceKind>(bytes, "the kind of an event");
  event.number = take(bytes);
  switch (event.kind) {
    case TraceKind::kStart:
      event.continues = take_flag(bytes, "whether the trace continues");
      for_each_number(event.tiers, [&](std::uint64_t& number) { number = take(bytes); });
      event.tiers.device_policy = take_named<kernels::ReplacementKind>(bytes, "the device policy");
      event.tiers.host_policy = take_named<kernels::ReplacementKind>(bytes, "the host policy");
      break;
    case TraceKind::kLease: {
      event.account = take_account(bytes);
      const std::uint64_t mode = take_below(bytes, 2 * kInParts, "the mode of a lease");
      event.read_only = (mode & kReadOnly) != 0;
      event.moves_records = (mode & kMovesRecords) != 0;
      event.ascending = (mode & kAscending) != 0;
      event.changes_rows = (mode & kChangesRows) != 0;
      if ((mode & kInParts) == 0) break;
      event.part_rows = take(bytes);
      if (event.part_rows == 0) io::fail("a lease is taken in parts of no row");
      break;
    }
    case TraceKind::kHint: {
      event.account = take_account(bytes);
      const std::uint64_t where = take_below(bytes, 4, "the tier and step of a hint");
      event.to_device = (where & 1) != 0;
      event.of_running_step = (where & 2) != 0;
      break;
    }
    case TraceKind::kLookups:
      event.account = take_account(bytes);
      event.lookups_per_token = take(bytes);
      event.sequence = take(bytes);
      break;
    default:
      break;
  }
  if (has_list(event.kind)) event.list = take_list(event.kind, bytes, lists);
  return event;
}

std::size_t parts_of(const TraceEvent& lease, std::size_t part_rows) {
  return std::max<std::size_t>(1, (lease.list.size() + part_rows - 1) / part_rows);
}

TracePart part_of(const TraceEvent& lease, std::size_t part_rows, std::size_t i) {
  const bool descends = lease.account.pass == Pass::kBackward && !lease.ascending;
  const std::size_t first = part_rows * (descends ? parts_of(lease, part_rows) - 1 - i : i);
  return {first, std::min(part_rows, lease.list.size() - first)};
}

}  // namespace mneme::offload
