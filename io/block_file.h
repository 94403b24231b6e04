// The seam to storage: a file read and written in aligned blocks, asynchronously.
//
// Three implementations share one test suite: UringFile (io_uring, O_DIRECT), SyncFile
// (pread/pwrite) and the files of SimulatedDisk (tests: short transfers, errors, crashes).
// A BlockFile knows nothing of rows or records. It is used from one thread at a time, sync() apart,
// and changes threads only while nothing is in flight. Its destructor waits for what is in flight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace mneme::io {

enum class BlockOperation { kRead, kWrite };

// One transfer. REQUIRES: offset, bytes and the address of data are multiples of alignment().
// The memory at data must stay valid and, for a write, unchanged until the completion is polled.
struct BlockRequest {
  BlockOperation operation = BlockOperation::kRead;
  std::uint64_t offset = 0;  // bytes from the start of the file
  std::byte* data = nullptr;
  std::uint32_t bytes = 0;
  std::uint64_t tag = 0;  // returned with the completion
};

// A finished transfer. Short transfers, EAGAIN and EINTR have been re-queued by then, so error is 0
// exactly when every byte was moved. Reading past the end of the file is an error (ENODATA), except
// inside its last block: a file may end in the middle of a block, whose rest reads as zeros.
struct BlockCompletion {
  std::uint64_t tag = 0;
  int error = 0;  // an errno value, 0 when all bytes were transferred
};

struct BlockFileCounters {
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t retries = 0;  // re-queued short, EAGAIN and EINTR completions
  std::uint64_t syncs = 0;
};

class BlockFile {
 public:
  virtual ~BlockFile() = default;
  BlockFile() = default;
  BlockFile(const BlockFile&) = delete;
  BlockFile& operator=(const BlockFile&) = delete;

  // The path, for error messages.
  virtual const std::string& path() const = 0;
  // Direct-I/O alignment in bytes, a power of two of at least 512.
  virtual std::uint32_t alignment() const = 0;
  // The most requests that may be in flight at once.
  virtual std::uint32_t depth() const = 0;
  virtual std::uint64_t size_bytes() const = 0;

  // Makes the file at least `bytes` long with its blocks reserved, so that a full disk shows here
  // and not at a later write. Throws Error (ENOSPC: how much was wanted).
  virtual void reserve(std::uint64_t bytes) = 0;
  virtual void truncate(std::uint64_t bytes) = 0;

  // Registers memory that later requests will mostly use, where the implementation can profit.
  // Never fails: what the system refuses is used unregistered, with one warning. The memory must
  // outlive the file, and is not there in forked children.
  virtual void register_buffer(std::span<std::byte> memory) = 0;

  // When the system takes no more transfers, submit() and poll() throw Error, now and whenever they
  // are called again. Nothing is in flight then: the caller's memory is its own again.

  // Queues a request; false when depth() requests are in flight (poll first, then try again). It
  // starts at the latest with the next poll(). A write throws Error after a failed sync().
  [[nodiscard]] virtual bool submit(const BlockRequest& request) = 0;
  // Hands out finished requests, at most completions.size(). With `wait`, blocks until at least one
  // is there, unless nothing is in flight. Returns how many were written.
  virtual std::size_t poll(std::span<BlockCompletion> completions, bool wait) = 0;
  virtual std::uint32_t in_flight() const = 0;

  // Makes all writes durable whose completions were polled before (fdatasync); of those in flight
  // nothing is said. From any thread, also beside another one that uses the file.
  // Throws Error; after a failure the file must not be written again.
  virtual void sync() = 0;

  virtual const BlockFileCounters& counters() const = 0;
};

}  // namespace mneme::io
