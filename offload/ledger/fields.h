// What the books of a store hold, in one table: counters, metrics.jsonl, the documentation
// (docs/metrics.md) and reports are made from it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mneme::offload {

// Numbers of one account. In the order of kFields.
enum class Field : std::uint8_t {
  kLeases,
  kRowsLeased,
  kFoundOnDevice,
  kFoundInHost,
  kFoundOnDisk,
  kFoundUntouched,
  kHostToDeviceRows,
  kHostToDeviceBytes,
  kHostToDeviceTime,
  kDiskToDeviceRows,
  kDiskToDeviceBytes,
  kDiskToDeviceTime,
  kGeneratedRows,
  kGeneratedBytes,
  kGeneratedTime,
  kDeviceCopyRows,
  kDeviceCopyBytes,
  kDeviceCopyTime,
  kDeviceToHostRows,
  kDeviceToHostBytes,
  kDeviceToHostTime,
  kDeviceToDiskRows,
  kDeviceToDiskBytes,
  kDeviceToDiskTime,
  kHostToDiskRows,
  kHostToDiskBytes,
  kHostToDiskTime,
  kDiskToHostRows,
  kDiskToHostBytes,
  kDiskToHostTime,
  kRecordsInRows,
  kRecordsInBytes,
  kRecordsInTime,
  kRecordsOutRows,
  kRecordsOutBytes,
  kRecordsOutTime,
  kDeviceVictims,
  kHostVictims,
  kDropped,
  kHinted,
  kHintsPresent,
  kHintsPlanned,
  kHintsPromoted,
  kHintsDropped,
  kHintsUsed,
  kHintsLate,
  kHintsWasted,
  kStallPlan,
  kStallHost,
  kStallDisk,
  kStallWriteBack,
  kStallHint,
  kStallCheckpoint,
  kDiskRetries,
};
inline constexpr std::size_t kFieldCount = static_cast<std::size_t>(Field::kDiskRetries) + 1;

struct FieldInfo {
  Field field;
  std::string_view name;  // in metrics.jsonl; a dot is one level deeper
  std::string_view unit;
  std::string_view meaning;
};

// A move of rows between two places has three fields: rows, bytes and time.
inline constexpr std::array<FieldInfo, kFieldCount> kFields = {{
    {Field::kLeases, "leases.count", "leases", "leases taken"},
    {Field::kRowsLeased, "leases.rows", "rows",
     "rows of the leases, each as often as it was leased; the sum of found.*"},
    {Field::kFoundOnDevice, "found.device", "rows", "leased rows that were in the device tier"},
    {Field::kFoundInHost, "found.host", "rows", "leased rows that were in the host tier"},
    {Field::kFoundOnDisk, "found.disk", "rows", "leased rows that were on disk only"},
    {Field::kFoundUntouched, "found.untouched", "rows",
     "leased rows that nothing had changed before: they are generated"},
    {Field::kHostToDeviceRows, "moves.host_to_device.rows", "rows",
     "page-in from the host tier: records copied into device slots"},
    {Field::kHostToDeviceBytes, "moves.host_to_device.bytes", "bytes", "of these, in records"},
    {Field::kHostToDeviceTime, "moves.host_to_device.us", "microseconds",
     "that the page-in stream worked on them"},
    {Field::kDiskToDeviceRows, "moves.disk_to_device.rows", "rows",
     "page-in from the disk: records read for a lease, or for a hint to the device"},
    {Field::kDiskToDeviceBytes, "moves.disk_to_device.bytes", "bytes",
     "of these, in disk slots: what the disk has read"},
    {Field::kDiskToDeviceTime, "moves.disk_to_device.us", "microseconds",
     "with such reads under way"},
    {Field::kGeneratedRows, "moves.generated.rows", "rows",
     "initial values computed in device slots"},
    {Field::kGeneratedBytes, "moves.generated.bytes", "bytes", "of these, in records"},
    {Field::kGeneratedTime, "moves.generated.us", "microseconds",
     "that the page-in stream worked on them"},
    {Field::kDeviceCopyRows, "moves.device_copy.rows", "rows",
     "copies within device memory: resident rows of a read-only lease"},
    {Field::kDeviceCopyBytes, "moves.device_copy.bytes", "bytes", "of these, in records"},
    {Field::kDeviceCopyTime, "moves.device_copy.us", "microseconds",
     "that the plan's stream worked on them"},
    {Field::kDeviceToHostRows, "moves.device_to_host.rows", "rows",
     "victims of the device tier copied into host slots"},
    {Field::kDeviceToHostBytes, "moves.device_to_host.bytes", "bytes", "of these, in records"},
    {Field::kDeviceToHostTime, "moves.device_to_host.us", "microseconds",
     "that the write-back stream worked on them"},
    {Field::kDeviceToDiskRows, "moves.device_to_disk.rows", "rows",
     "records written from the device tier: victims without a host tier, and checkpoints"},
    {Field::kDeviceToDiskBytes, "moves.device_to_disk.bytes", "bytes",
     "of these, in disk slots: what the disk has written"},
    {Field::kDeviceToDiskTime, "moves.device_to_disk.us", "microseconds",
     "with such writes under way"},
    {Field::kHostToDiskRows, "moves.host_to_disk.rows", "rows",
     "records written from the host tier: victims, and checkpoints"},
    {Field::kHostToDiskBytes, "moves.host_to_disk.bytes", "bytes",
     "of these, in disk slots: what the disk has written"},
    {Field::kHostToDiskTime, "moves.host_to_disk.us", "microseconds", "with such writes under way"},
    {Field::kDiskToHostRows, "moves.disk_to_host.rows", "rows",
     "records read into the host tier for a hint"},
    {Field::kDiskToHostBytes, "moves.disk_to_host.bytes", "bytes",
     "of these, in disk slots: what the disk has read"},
    {Field::kDiskToHostTime, "moves.disk_to_host.us", "microseconds", "with such reads under way"},
    {Field::kRecordsInRows, "moves.records_in.rows", "rows",
     "records handed to the store by its caller, copied into device slots"},
    {Field::kRecordsInBytes, "moves.records_in.bytes", "bytes", "of these, in records"},
    {Field::kRecordsInTime, "moves.records_in.us", "microseconds",
     "until they were copied, the lease included"},
    {Field::kRecordsOutRows, "moves.records_out.rows", "rows",
     "records handed to the caller, copied from the device"},
    {Field::kRecordsOutBytes, "moves.records_out.bytes", "bytes", "of these, in records"},
    {Field::kRecordsOutTime, "moves.records_out.us", "microseconds",
     "until they were copied, the lease included"},
    {Field::kDeviceVictims, "victims.device", "rows", "rows that had to leave the device tier"},
    {Field::kHostVictims, "victims.host", "rows", "rows that had to leave the host tier"},
    {Field::kDropped, "victims.dropped", "rows",
     "victims of either tier that went nowhere: their copy on disk or their initial value is "
     "valid"},
    {Field::kHinted, "hints.rows", "rows",
     "rows hinted, each once a hint; the sum of present, planned and dropped"},
    {Field::kHintsPresent, "hints.present", "rows", "hinted rows that were there already"},
    {Field::kHintsPlanned, "hints.planned", "rows", "hinted rows that got a slot and are brought"},
    {Field::kHintsPromoted, "hints.promoted", "rows",
     "of the planned ones, rows that a hint to the host tier had brought before, and no lease "
     "used"},
    {Field::kHintsDropped, "hints.dropped", "rows",
     "hinted rows beyond the byte budget or the room for hints: not brought"},
    {Field::kHintsUsed, "hints.used", "rows", "rows brought by a hint that a lease took"},
    {Field::kHintsLate, "hints.late", "rows", "of these, rows that the lease had to wait for"},
    {Field::kHintsWasted, "hints.wasted", "rows",
     "rows brought by a hint that lost their slot before any lease took them"},
    {Field::kStallPlan, "stall.plan_us", "microseconds",
     "that the caller's work stood still for the plan: look-up, victims, slots"},
    {Field::kStallHost, "stall.host_us", "microseconds",
     "the same for rows from host memory, generated and copied ones, and for catching up"},
    {Field::kStallDisk, "stall.disk_us", "microseconds", "the same for rows from the disk"},
    {Field::kStallWriteBack, "stall.write_back_us", "microseconds",
     "the same for room: rows that had to be written first; for a checkpoint, where the run waits "
     "for it"},
    {Field::kStallHint, "stall.hint_us", "microseconds",
     "the same for rows that a hint had not brought yet"},
    {Field::kStallCheckpoint, "stall.checkpoint_us", "microseconds",
     "the same for copies of rows that a checkpoint under way had not written yet"},
    {Field::kDiskRetries, "disk.retries", "transfers",
     "transfers that the disk had to be asked for again"},
}};

constexpr const FieldInfo& info(Field field) {
  return kFields[static_cast<std::size_t>(field)];
}

namespace internal {
constexpr bool fields_are_in_order() {
  for (std::size_t i = 0; i < kFieldCount; ++i) {
    if (static_cast<std::size_t>(kFields[i].field) != i) return false;
  }
  return true;
}
static_assert(fields_are_in_order());
}  // namespace internal

}  // namespace mneme::offload
