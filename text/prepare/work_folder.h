// Where a dataset is while it is being made: OUTPUT.mneme-partial, locked.
//
//   request.json    what is being made of what; equal as long as the work may go on
//   progress.json   how far it is, replaced as a whole; not there before the first checkpoint
//   dataset/        what becomes OUTPUT
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "io/disk.h"

namespace mneme::text {

class WorkFolder {
 public:
  // Begins the work, or goes on with that of an equal request. Throws Error when the output is
  // there, another process is at it, the folder is somebody else's, or what has begun is another
  // request; `restart` drops that one. No file goes that has not the name of one that work makes.
  WorkFolder(io::Disk& disk, const std::string& output, const nlohmann::json& request,
             bool restart);
  ~WorkFolder();

  const std::string& dataset() const { return dataset_; }
  // Of an earlier call, or nothing.
  const nlohmann::json& progress() const;
  // Durable on return.
  void save_progress(const nlohmann::json& progress);
  // Gives the dataset its name and removes the rest. REQUIRES: its files are durable.
  void publish();

 private:
  void check_output();
  void begin(const nlohmann::json& request, bool restart);
  void drop_work();
  void remove_own_files();
  std::string path(const char* name) const { return folder_ + "/" + name; }
  nlohmann::json read(const char* name) const;

  io::Disk& disk_;
  std::string output_;
  std::string folder_;
  std::string dataset_;
  std::unique_ptr<io::DirectoryLock> lock_;
  std::unique_ptr<nlohmann::json> progress_;
};

}  // namespace mneme::text
