// Operations of the step plan that move rows between tiers and slots into and out of the queues of
// free ones (kernels/slot_moves.h): a scan says how many slots each row finds taken before it, a
// thread a row moves them, and one thread sets the heads of the queues.
#include "kernels/slot_moves.h"

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/thrust_policy.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ std::int64_t thread_index() {
  return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
Grid one_thread_each(std::int64_t count) {
  CHECK(count >= 0);
  return {blocks_for(count, kThreads), kThreads};
}

// The sums: value(0) + .. + value(i) for each i.
template <typename Value>
std::uint64_t* sums_of(Operation& operation, const Value& value, std::int64_t count) {
  auto* sums = operation.take<std::uint64_t>(count);
  with_policy(
      operation,
      [](const auto& policy, auto... what) { algorithms::running_sums_of(policy, what...); }, value,
      sums, count);
  return sums;
}

__global__ void bind_kernel(SlotTable device, SlotTable host, BindMissingArgs args,
                            const std::uint64_t* host_rows, DeviceReport* problem) {
  const std::int64_t i = thread_index();
  if (i >= args.count) return;
  report(problem, slot_moves::bind_missing(device, host, args, host_rows, i));
}

__global__ void finish_bind_kernel(SlotTable device, SlotTable host, std::int64_t count,
                                   const std::uint64_t* host_rows) {
  slot_moves::finish_bind(device, host, count, *host_rows);
}

__global__ void demote_kernel(SlotTable device, SlotTable host, DemoteVictimsArgs args,
                              const std::uint64_t* kept, DeviceReport* problem) {
  const std::int64_t i = thread_index();
  if (i < args.most) report(problem, slot_moves::demote(device, host, args, kept, i));
}

__global__ void finish_demote_kernel(SlotTable device, SlotTable host, DemoteVictimsArgs args,
                                     const std::uint64_t* kept) {
  slot_moves::finish_demote(device, host, args, *kept);
}

__global__ void release_kernel(SlotTable table, const SlotId* slots, const std::uint64_t* count,
                               std::int64_t most, DeviceReport* problem) {
  const std::int64_t i = thread_index();
  if (i >= most || static_cast<std::uint64_t>(i) >= *count) return;
  report(problem, slot_moves::release(table, i, slots[i]));
}

__global__ void finish_release_kernel(SlotTable table, const std::uint64_t* count,
                                      std::int64_t most, DeviceReport* problem) {
  report(problem, slot_moves::finish_release(table, *count, most));
}

__global__ void take_kernel(SlotTable table, std::int64_t most, SlotId* slots) {
  const std::int64_t i = thread_index();
  if (i >= most || i >= slot_moves::free_slots(table)) return;
  slots[i] = slot_moves::free_slot(table, static_cast<std::uint32_t>(i));
}

__global__ void finish_take_kernel(SlotTable table, std::int64_t most, std::uint64_t* count) {
  *count = slot_moves::advance(table, static_cast<std::uint64_t>(most));
}

__global__ void publish_kernel(SlotTable host, PublishRowsArgs args, DeviceReport* problem) {
  const std::int64_t i = thread_index();
  if (i < args.count) report(problem, slot_moves::publish(host, args, i));
}

__global__ void place_on_disk_kernel(Location* locations, const RowId* rows, std::int64_t count,
                                     DeviceReport* problem) {
  const std::int64_t i = thread_index();
  if (i < count) report(problem, slot_moves::place_on_disk(locations, rows[i]));
}

}  // namespace

void CudaBackend::bind_missing(Stream& stream, const SlotTable& device, const SlotTable& host,
                               const BindMissingArgs& args) {
  CHECK(slot_updates::are_tiers(device, host));
  CHECK(args.count >= 0);
  if (args.count == 0) return;
  CHECK(args.rows != nullptr && args.missing != nullptr);
  CHECK(args.copy_only || args.slots != nullptr);
  Operation operation(stream, "bind_missing");
  const std::uint64_t* const host_rows =
      args.copy_only
          ? nullptr
          : sums_of(operation, slot_moves::CountHostRows{host, device.locations, args}, args.count);
  operation.launch(one_thread_each(args.count), bind_kernel, device, host, args, host_rows,
                   operation.report());
  if (args.copy_only) return;
  operation.launch({1, 1}, finish_bind_kernel, device, host, args.count,
                   host_rows + args.count - 1);
}

void CudaBackend::demote_victims(Stream& stream, const SlotTable& device, const SlotTable& host,
                                 const DemoteVictimsArgs& args) {
  CHECK(slot_updates::are_tiers(device, host));
  CHECK(args.most >= 0);
  if (args.most == 0) return;
  CHECK(args.slots != nullptr && args.rows != nullptr && args.state != nullptr &&
        args.last_used != nullptr && args.step_used != nullptr && args.frequency != nullptr &&
        args.count != nullptr && args.from != nullptr && args.to != nullptr);
  CHECK((args.uses != nullptr) == (host.uses != nullptr));
  Operation operation(stream, "demote_victims");
  const std::uint64_t* const kept = sums_of(operation, slot_moves::CountVictims{args}, args.most);
  operation.launch(one_thread_each(args.most), demote_kernel, device, host, args, kept,
                   operation.report());
  operation.launch({1, 1}, finish_demote_kernel, device, host, args, kept + args.most - 1);
}

void CudaBackend::release_slots(Stream& stream, const SlotTable& table, const SlotId* slots,
                                const std::uint64_t* count, std::int64_t most) {
  CHECK(slot_updates::is_table(table) && count != nullptr);
  Operation operation(stream, "release_slots");
  operation.launch(one_thread_each(most), release_kernel, table, slots, count, most,
                   operation.report());
  operation.launch({1, 1}, finish_release_kernel, table, count, most, operation.report());
}

void CudaBackend::take_slots(Stream& stream, const SlotTable& table, std::int64_t most,
                             SlotId* slots, std::uint64_t* count) {
  CHECK(slot_updates::is_table(table) && count != nullptr);
  Operation operation(stream, "take_slots");
  operation.launch(one_thread_each(most), take_kernel, table, most, slots);
  operation.launch({1, 1}, finish_take_kernel, table, most, count);
}

void CudaBackend::publish_rows(Stream& stream, const SlotTable& host, const PublishRowsArgs& args) {
  CHECK(slot_updates::is_table(host) && host.place == Place::kHost);
  Operation operation(stream, "publish_rows");
  operation.launch(one_thread_each(args.count), publish_kernel, host, args, operation.report());
}

void CudaBackend::place_on_disk(Stream& stream, Location* locations, const RowId* rows,
                                std::int64_t count) {
  CHECK(locations != nullptr);
  Operation operation(stream, "place_on_disk");
  operation.launch(one_thread_each(count), place_on_disk_kernel, locations, rows, count,
                   operation.report());
}

}  // namespace mneme::kernels::cuda
