#include "offload/ledger/books.h"

namespace mneme::offload {

Entry& Entry::operator+=(const Entry& other) {
  for (std::size_t i = 0; i < kFieldCount; ++i) values_[i] += other.values_[i];
  return *this;
}

Entry& Entry::operator-=(const Entry& other) {
  for (std::size_t i = 0; i < kFieldCount; ++i) values_[i] -= other.values_[i];
  return *this;
}

std::uint64_t Entry::rows_fetched() const {
  const Entry& entry = *this;
  return entry[Field::kHostToDeviceRows] + entry[Field::kDiskToDeviceRows] +
         entry[Field::kGeneratedRows];
}

std::uint64_t Entry::disk_rows_read() const {
  return (*this)[Field::kDiskToDeviceRows] + (*this)[Field::kDiskToHostRows];
}

std::uint64_t Entry::disk_bytes_read() const {
  return (*this)[Field::kDiskToDeviceBytes] + (*this)[Field::kDiskToHostBytes];
}

std::uint64_t Entry::disk_rows_written() const {
  return (*this)[Field::kDeviceToDiskRows] + (*this)[Field::kHostToDiskRows];
}

std::uint64_t Entry::disk_bytes_written() const {
  return (*this)[Field::kDeviceToDiskBytes] + (*this)[Field::kHostToDiskBytes];
}

std::uint64_t Entry::stall_us() const {
  const Entry& entry = *this;
  return entry[Field::kStallPlan] + entry[Field::kStallHost] + entry[Field::kStallDisk] +
         entry[Field::kStallWriteBack] + entry[Field::kStallHint] + entry[Field::kStallCheckpoint];
}

Entry Books::total() const {
  Entry sum;
  for (const auto& [account, entry] : entries_) sum += entry;
  return sum;
}

Entry Books::total(Cause cause) const {
  Entry sum;
  for (const auto& [account, entry] : entries_) {
    if (account.cause == cause) sum += entry;
  }
  return sum;
}

Entry Books::total(Cause cause, Pass pass) const {
  Entry sum;
  for (const auto& [account, entry] : entries_) {
    if (account.cause == cause && account.pass == pass) sum += entry;
  }
  return sum;
}

Books& Books::operator+=(const Books& other) {
  for (const auto& [account, entry] : other.entries_) entries_[account] += entry;
  return *this;
}

Books& Books::operator-=(const Books& earlier) {
  for (const auto& [account, entry] : earlier.entries_) entries_[account] -= entry;
  return *this;
}

}  // namespace mneme::offload
