// A disk that hands every call to another one: for disks that change some of them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/disk.h"

namespace mneme::io {

class ForwardingFile : public BlockFile {
 public:
  explicit ForwardingFile(std::unique_ptr<BlockFile> inner) : inner_(std::move(inner)) {}

  const std::string& path() const override { return inner_->path(); }
  std::uint32_t alignment() const override { return inner_->alignment(); }
  std::uint32_t depth() const override { return inner_->depth(); }
  std::uint64_t size_bytes() const override { return inner_->size_bytes(); }
  void reserve(std::uint64_t bytes) override { inner_->reserve(bytes); }
  void truncate(std::uint64_t bytes) override { inner_->truncate(bytes); }
  void register_buffer(std::span<std::byte> memory) override { inner_->register_buffer(memory); }
  bool submit(const BlockRequest& request) override { return inner_->submit(request); }
  std::size_t poll(std::span<BlockCompletion> completions, bool wait) override {
    return inner_->poll(completions, wait);
  }
  std::uint32_t in_flight() const override { return inner_->in_flight(); }
  void sync() override { inner_->sync(); }
  const BlockFileCounters& counters() const override { return inner_->counters(); }

 protected:
  std::unique_ptr<BlockFile> inner_;
};

class ForwardingDisk : public Disk {
 public:
  explicit ForwardingDisk(Disk& inner) : inner_(inner) {}

  std::unique_ptr<BlockFile> open(const std::string& path, const OpenOptions& options) override {
    return inner_.open(path, options);
  }
  bool exists(const std::string& path) const override { return inner_.exists(path); }
  bool is_directory(const std::string& path) const override { return inner_.is_directory(path); }
  std::vector<std::string> list(const std::string& directory) const override {
    return inner_.list(directory);
  }
  void make_directories(const std::string& path) override { inner_.make_directories(path); }
  void rename(const std::string& from, const std::string& to) override { inner_.rename(from, to); }
  void remove(const std::string& path) override { inner_.remove(path); }
  void sync_directory(const std::string& path) override { inner_.sync_directory(path); }
  std::unique_ptr<DirectoryLock> lock(const std::string& directory, LockKind kind) override {
    return inner_.lock(directory, kind);
  }
  std::unique_ptr<AppendFile> append(const std::string& path, std::uint64_t keep_bytes) override {
    return inner_.append(path, keep_bytes);
  }
  std::uint64_t available_bytes(const std::string& directory) const override {
    return inner_.available_bytes(directory);
  }
  void write_file(const std::string& path, std::span<const std::byte> content) override {
    inner_.write_file(path, content);
  }
  std::vector<std::byte> read_file(const std::string& path,
                                   std::uint64_t max_bytes) const override {
    return inner_.read_file(path, max_bytes);
  }

 protected:
  Disk& inner_;
};

}  // namespace mneme::io
