#include "offload/mover/row_transfers.h"

#include <algorithm>

#include "io/check.h"

namespace mneme::offload {

// How far one direction of an exchange has come, in transfers.
class RowTransfers::Direction {
 public:
  Direction(kernels::Backend& backend, kernels::Stream& stream, std::vector<Transfer>& transfers)
      : backend_(backend), stream_(stream), transfers_(transfers) {}

  std::int64_t done() const { return done_; }

  // Marks what was queued up to entry `end`.
  void queued(std::int64_t end) {
    if (used_ == transfers_.size()) transfers_.push_back({0, backend_.create_event()});
    Transfer& transfer = transfers_[used_++];
    transfer.end = end;
    stream_.record(*transfer.event);
    done_ = end;
  }

  // `other` goes on once the first `entries` entries are through.
  void await(kernels::Stream& other, std::int64_t entries) const {
    if (entries <= 0) return;
    for (std::size_t i = 0; i < used_; ++i) {
      if (transfers_[i].end < entries) continue;
      other.wait(*transfers_[i].event);
      return;
    }
    CHECK(false, "{} entries are awaited, {} are queued", entries, done_);
  }

 private:
  kernels::Backend& backend_;
  kernels::Stream& stream_;
  std::vector<Transfer>& transfers_;
  std::size_t used_ = 0;
  std::int64_t done_ = 0;
};

RowTransfers::RowTransfers(kernels::Backend& backend, const RowTransferOptions& options)
    : backend_(backend),
      options_(options),
      in_pacer_(options.link_bytes_per_second, options.record_bytes),
      out_pacer_(options.link_bytes_per_second, options.record_bytes),
      in_(backend.create_stream(kernels::StreamPriority::kHigh)),
      out_(backend.create_stream(kernels::StreamPriority::kHigh)),
      planned_(backend.create_event()),
      in_end_(backend.create_event()),
      out_end_(backend.create_event()) {
  CHECK(options.transfer_rows >= 1);
}

void RowTransfers::follow(kernels::Stream& plan) {
  plan.record(*planned_);
  in_->record(*in_end_);
  out_->record(*out_end_);
  in_->wait(*planned_);
  in_->wait(*out_end_);
  out_->wait(*planned_);
  out_->wait(*in_end_);
}

void RowTransfers::arrive_before(kernels::Stream& plan) {
  in_->record(*in_end_);
  plan.wait(*in_end_);
}

void RowTransfers::leave_before(kernels::Stream& plan) {
  out_->record(*out_end_);
  plan.wait(*out_end_);
}

// In several transfers, so that one direction goes on beside the other; each worth its launch: 256
// KiB take 10 us on a bus of 25 GB/s.
std::int64_t RowTransfers::rows_of_a_transfer(std::int64_t rows, std::size_t record_bytes,
                                              std::int64_t most) {
  constexpr std::size_t kLeastBytes = std::size_t{256} << 10;
  constexpr std::int64_t kTransfers = 8;
  const auto least =
      static_cast<std::int64_t>(kLeastBytes / std::max<std::size_t>(1, record_bytes)) + 1;
  return std::min(most, std::max(least, (rows + kTransfers - 1) / kTransfers));
}

void RowTransfers::exchange(const kernels::RowArena& arena, const kernels::HostRecords& records,
                            const Exchange& exchange) {
  const ExchangeLists& lists = exchange.lists;
  Direction in(backend_, *in_, arrivals_), out(backend_, *out_, departures_);
  const std::int64_t most = rows_of_a_transfer(std::max(exchange.arriving, exchange.leaving),
                                               options_.record_bytes, options_.transfer_rows);
  while (in.done() < exchange.arriving || out.done() < exchange.leaving) {
    const std::int64_t out_end =
        std::min({exchange.leaving, out.done() + most, exchange.free_host + in.done()});
    const bool leaves = out_end > out.done();
    if (leaves) {
      in.await(*out_, out_end - exchange.free_host);
      queue_leaving(arena, records, exchange, out.done(), out_end - out.done());
      out.queued(out_end);
    }
    const std::int64_t in_end =
        std::min({exchange.arriving, in.done() + most, exchange.free_device + out.done()});
    const bool arrives = in_end > in.done();
    if (arrives) {
      out.await(*in_, in_end - exchange.free_device);
      unpack(arena, records, lists.arriving_from + in.done(), lists.arriving_to + in.done(),
             in_end - in.done());
      in.queued(in_end);
    }
    CHECK(leaves || arrives,
          "{} rows for {} device slots, {} for {} host slots wait for each other",
          exchange.arriving, exchange.free_device, exchange.leaving, exchange.free_host);
  }
}

void RowTransfers::unpack(const kernels::RowArena& arena, const kernels::HostRecords& records,
                          const kernels::SlotId* record_slots, const kernels::SlotId* slots,
                          std::int64_t count) {
  if (count == 0) return;
  in_pacer_.start(*in_);
  backend_.unpack_records(*in_, arena, records, record_slots, slots, count);
  in_pacer_.finish(*in_, {.listed = count});
}

// Entries of dropped rows are among them: only the device knows how many.
void RowTransfers::queue_leaving(const kernels::RowArena& arena,
                                 const kernels::HostRecords& records, const Exchange& exchange,
                                 std::int64_t first, std::int64_t count) {
  out_pacer_.start(*out_);
  backend_.pack_records(*out_, arena, records, exchange.lists.leaving_to + first,
                        exchange.lists.leaving_from + first, count);
  out_pacer_.finish(*out_, {.listed = count, .total = exchange.leaves, .before = first});
}

void RowTransfers::pack(const kernels::RowArena& arena, const kernels::HostRecords& records,
                        const kernels::SlotId* record_slots, const kernels::SlotId* slots,
                        std::int64_t count) {
  if (count == 0) return;
  out_pacer_.start(*out_);
  backend_.pack_records(*out_, arena, records, record_slots, slots, count);
  out_pacer_.finish(*out_, {.listed = count});
}

void RowTransfers::fill_after_write_back() {
  out_->record(*out_end_);
  in_->wait(*out_end_);
}

void RowTransfers::synchronize() {
  in_->synchronize();
  out_->synchronize();
}

}  // namespace mneme::offload
