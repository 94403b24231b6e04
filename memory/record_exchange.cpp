#include "memory/record_exchange.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "io/check.h"
#include "kernels/scalar.h"

namespace mneme::memory {
namespace {

constexpr std::size_t kBatchRows = 256;  // written in one go
// Read in one go.
constexpr std::int64_t kMostRows = 16384, kMostBytes = std::int64_t{16} << 20;

// Of the values of all parts of a row, one after the other.
std::size_t row_numbers(const kernels::RecordLayout& layout) {
  std::size_t numbers = 0;
  for (int i = 0; i < layout.part_count; ++i) numbers += layout.parts[i].columns.count;
  return numbers;
}

void encode_values(const kernels::PartLayout& part, const float* values, std::byte* out) {
  if (part.value_type == kernels::FloatType::kF32) {
    std::memcpy(out, values, part.value_bytes());
    return;
  }
  for (std::uint32_t column = 0; column < part.columns.count; ++column) {
    const std::uint16_t value = kernels::float_to_bf16(values[column]);
    std::memcpy(out + column * sizeof(value), &value, sizeof(value));
  }
}

// Writes a record whose moments and sums are zero. values: [row_numbers()].
void encode_record(const kernels::RecordLayout& layout, const float* values, std::uint32_t step,
                   std::byte* record) {
  std::memset(record, 0, layout.record_bytes());
  std::memcpy(record, &step, sizeof(step));
  for (int i = 0; i < layout.part_count; ++i) {
    encode_values(layout.parts[i], values, record + layout.value_offset(i));
    values += layout.parts[i].columns.count;
  }
}

}  // namespace

RecordExchange::Reading::Reading(kernels::Backend& backend, std::int64_t count, std::int64_t width)
    : most(count),
      host_rows(kernels::pinned_array<kernels::RowId>(backend, count)),
      rows(backend, count),
      values(backend, count * width),
      host_values(kernels::pinned_array<float>(backend, count * width)),
      stream(backend.create_stream()) {}

RecordExchange::RecordExchange(kernels::Backend& backend, offload::TieredStore& store)
    : backend_(&backend), store_(&store) {}

// As many rows at a time as one lease can have, so that a lease costs little.
RecordExchange::Reading& RecordExchange::reading() {
  if (reading_) return *reading_;
  const auto width = static_cast<std::int64_t>(row_numbers(store_->options().layout));
  const std::int64_t fit = kMostBytes / (width * std::int64_t{sizeof(float)});
  const std::int64_t leased = store_->lease_capacity(offload::LeaseMode::kReadOnly);
  const std::int64_t rows = std::max<std::int64_t>(1, std::min({kMostRows, fit, leased}));
  reading_ = std::make_unique<Reading>(*backend_, rows, width);
  return *reading_;
}

void RecordExchange::read_values(const offload::Currency& currency,
                                 std::span<const kernels::RowId> rows, std::span<float> out,
                                 const std::function<void()>& between) {
  const std::size_t width = row_numbers(store_->options().layout);
  CHECK(out.size() == rows.size() * width);
  if (store_->options().read_only) {
    read_stored(currency, rows, out, between);
    return;
  }
  read_leased(currency, rows, out, between);
}

// Rows with a record come from the files in the order of these; the others are leased.
void RecordExchange::read_stored(const offload::Currency& currency,
                                 std::span<const kernels::RowId> rows, std::span<float> out,
                                 const std::function<void()>& between) {
  const std::size_t width = row_numbers(store_->options().layout);
  Reading& batch = reading();
  std::vector<bool> is_read(rows.size(), false);
  store_->read_stored(
      *batch.stream, rows, currency, [&](const offload::TieredStore::StoredRows& stored) {
        const auto count = std::ssize(stored.indices);
        if (between) between();
        for (std::int64_t first = 0; first < count; first += batch.most) {
          const std::int64_t these = std::min(batch.most, count - first);
          queue_values(stored.arena, stored.slots + first, these);
          batch.stream->synchronize();
          for (std::int64_t i = 0; i < these; ++i) {
            const std::size_t index = stored.indices[static_cast<std::size_t>(first + i)];
            is_read[index] = true;
            take_values(i, these, out.data() + index * width);
          }
        }
      });
  std::vector<kernels::RowId> others;
  std::vector<std::size_t> indices;
  const auto read_others = [&] {
    std::vector<float> values(others.size() * width);
    read_leased(currency, others, values, between);
    for (std::size_t i = 0; i < indices.size(); ++i) {
      std::memcpy(out.data() + indices[i] * width, values.data() + i * width,
                  width * sizeof(float));
    }
    others.clear();
    indices.clear();
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (is_read[i]) continue;
    others.push_back(rows[i]);
    indices.push_back(i);
    if (std::ssize(others) == batch.most) read_others();
  }
  read_others();
}

void RecordExchange::read_leased(const offload::Currency& currency,
                                 std::span<const kernels::RowId> rows, std::span<float> out,
                                 const std::function<void()>& between) {
  const std::size_t width = row_numbers(store_->options().layout);
  const auto most = static_cast<std::size_t>(reading().most);
  for (std::size_t done = 0; done < rows.size(); done += most) {
    if (between) between();
    read_batch(currency, rows.subspan(done, std::min(most, rows.size() - done)),
               out.data() + done * width);
  }
}

void RecordExchange::read_batch(const offload::Currency& currency,
                                std::span<const kernels::RowId> rows, float* out) {
  Reading& batch = reading();
  const auto count = static_cast<std::int64_t>(rows.size());
  std::copy(rows.begin(), rows.end(), batch.host_rows.data());
  backend_->copy(*batch.stream, batch.rows.data(), batch.host_rows.data(),
                 kernels::DeviceArray<kernels::RowId>::bytes(count));
  {
    const offload::Lease lease =
        store_->acquire(*batch.stream,
                        {.rows = batch.rows.data(),
                         .count = count,
                         .mode = offload::LeaseMode::kReadOnly,
                         .account = {offload::Cause::kExchange, offload::kNoLayer}},
                        currency);
    queue_values(lease.arena(), lease.slots(), count);
  }
  batch.stream->synchronize();
  const std::size_t width = row_numbers(store_->options().layout);
  for (std::int64_t i = 0; i < count; ++i) {
    take_values(i, count, out + static_cast<std::size_t>(i) * width);
  }
}

void RecordExchange::queue_values(const kernels::RowArena& arena, const kernels::SlotId* slots,
                                  std::int64_t count) {
  const Reading& batch = reading();
  std::int64_t numbers = 0;
  for (int i = 0; i < arena.layout.part_count; ++i) {
    backend_->read_values(*batch.stream, arena, i, slots, count, batch.values.data() + numbers);
    numbers += count * arena.layout.parts[i].columns.count;
  }
  backend_->copy(*batch.stream, batch.host_values.data(), batch.values.data(),
                 kernels::DeviceArray<float>::bytes(numbers));
}

void RecordExchange::take_values(std::int64_t index, std::int64_t count, float* out) {
  const kernels::RecordLayout& layout = store_->options().layout;
  const float* values = reading().host_values.data();
  for (int i = 0; i < layout.part_count; ++i) {
    const std::int64_t width = layout.parts[i].columns.count;
    out = std::copy_n(values + index * width, width, out);
    values += count * width;
  }
}

void RecordExchange::write_values(std::span<const kernels::RowId> rows,
                                  std::span<const float> values, std::uint64_t step) {
  const kernels::RecordLayout& layout = store_->options().layout;
  const std::size_t width = row_numbers(layout);
  CHECK(values.size() == rows.size() * width);
  const std::size_t record_bytes = layout.record_bytes();
  std::vector<std::byte> records(kBatchRows * record_bytes);
  for (std::size_t done = 0; done < rows.size(); done += kBatchRows) {
    const std::size_t count = std::min<std::size_t>(kBatchRows, rows.size() - done);
    std::array<const std::byte*, kBatchRows> addresses;
    for (std::size_t i = 0; i < count; ++i) {
      std::byte* const record = records.data() + i * record_bytes;
      encode_record(layout, values.data() + (done + i) * width, static_cast<std::uint32_t>(step),
                    record);
      addresses[i] = record;
    }
    store_->write_records(rows.subspan(done, count), {addresses.data(), count});
  }
}

}  // namespace mneme::memory
