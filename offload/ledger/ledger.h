// The books of promise 6: every byte that moves and every microsecond that a step stands still,
// booked once, to a cause and a layer (books.h; the fields are in fields.h).
//
// It must never know what a row is for or how rows move: whoever moves them says so here, right
// after it has queued the move. Two things are known only later, and find their account then: the
// times of streams (stream_clock.h, stall_clock.h), and what only the device counts.
//
//   open(account)     what follows is booked to it
//   book(field, n)
//   take()            hands out the books since the last take; metrics.jsonl has a line for each
#pragma once

#include <cstdint>
#include <utility>

#include "offload/ledger/books.h"

namespace mneme::offload {

class Ledger {
 public:
  void open(const Account& account) {
    account_ = account;
    entry_ = nullptr;
  }
  const Account& account() const { return account_; }
  void book(Field field, std::uint64_t amount) {
    if (amount == 0) return;
    if (entry_ == nullptr) entry_ = &current_[account_];
    (*entry_)[field] += amount;
  }
  void book(const Account& account, Field field, std::uint64_t amount) {
    if (amount > 0) current_[account][field] += amount;
  }
  // A move of rows between two places: `rows` is its field of rows, the next one that of bytes.
  void book_move(Field rows, std::uint64_t count, std::uint64_t bytes) {
    book(rows, count);
    book(bytes_of(rows), bytes);
  }
  static constexpr Field bytes_of(Field rows) {
    return static_cast<Field>(static_cast<std::size_t>(rows) + 1);
  }
  static constexpr Field time_of(Field rows) {
    return static_cast<Field>(static_cast<std::size_t>(rows) + 2);
  }

  // Since the last take().
  const Books& current() const { return current_; }
  Books take() {
    all_ += current_;
    entry_ = nullptr;
    return std::exchange(current_, {});
  }
  // All that were taken.
  const Books& all() const { return all_; }

 private:
  Account account_;
  Entry* entry_ = nullptr;  // of the open account in current_; null: not looked up yet
  Books current_, all_;
};

}  // namespace mneme::offload
