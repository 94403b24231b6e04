#include "text/prepare/work_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "io/error.h"
#include "io/utf8.h"
#include "text/prepare/request.h"

namespace mneme::text {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRequest = "request.json";
constexpr const char* kProgress = "progress.json";
constexpr const char* kLock = "LOCK";
constexpr const char* kDataset = "dataset";
constexpr std::uint64_t kMostJsonBytes = std::uint64_t{4} << 30;
constexpr std::array kWorkFiles = {kRequest, kProgress, kLock};
constexpr std::array kParts = {"train", "validation"};

// Names in the dataset's folder, beside those of its parts.
constexpr std::array kDatasetFiles = {"dataset.json", "tokenizer.json", "tokenizer.model",
                                      "tokenizer.tiktoken"};

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

bool is_one_of(std::span<const char* const> names, std::string_view name) {
  if (name.ends_with(io::kAsideSuffix)) {
    name.remove_suffix(std::string_view(io::kAsideSuffix).size());
  }
  return std::ranges::find(names, name) != names.end();
}

// Whether a file of a part has a name that writers of tokens give: train_000012.bin, val.idx and
// what these are called before they are whole.
bool is_token_file(std::string_view name) {
  const auto drop = [&](std::string_view front) {
    const bool is_there = name.starts_with(front);
    if (is_there) name.remove_prefix(front.size());
    return is_there;
  };
  if (!drop("train") && !drop("val")) return false;
  if (drop("_")) {
    const std::size_t end = std::min(name.find_first_not_of("0123456789"), name.size());
    if (end == 0) return false;
    name.remove_prefix(end);
  }
  if (!drop(".bin") && !drop(".idx")) return false;
  drop(".lengths");
  return name.empty() || name == ".partial" || name == io::kAsideSuffix;
}

}  // namespace

WorkFolder::WorkFolder(io::Disk& disk, const std::string& output, const nlohmann::json& request,
                       bool restart)
    : disk_(disk),
      output_(without_trailing_slashes(output)),
      folder_(output_ + io::kAsideSuffix),
      dataset_(folder_ + "/" + kDataset),
      progress_(std::make_unique<nlohmann::json>()) {
  check_output();
  disk_.make_directories(folder_);
  lock_ = disk_.lock(folder_, io::LockKind::kExclusive);
  check_output();  // another process may have come to its end meanwhile
  begin(request, restart);
}

WorkFolder::~WorkFolder() = default;

void WorkFolder::check_output() {
  std::error_code ignored;  // what cannot be looked at is no link
  // A link to nothing is in the way, too.
  if (!disk_.exists(output_) && !fs::is_symlink(output_, ignored)) return;
  const auto is_own = [](const std::string& name) { return is_one_of(kWorkFiles, name); };
  if (disk_.exists(folder_) && std::ranges::all_of(disk_.list(folder_), is_own)) {
    // Of a process that was killed when it had published the dataset.
    if (lock_ == nullptr) lock_ = disk_.lock(folder_, io::LockKind::kExclusive);
    drop_work();
  }
  io::fail("{}: is there already; name another folder with --output, or move it away", output_);
}

nlohmann::json WorkFolder::read(const char* name) const {
  const std::vector<std::byte> bytes = disk_.read_file(path(name), kMostJsonBytes);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  auto json = nlohmann::json::parse(text, text + bytes.size(), nullptr, false);
  if (!json.is_object()) {
    io::fail("{}: is damaged; begin anew with --restart", path(name));
  }
  return json;
}

void WorkFolder::begin(const nlohmann::json& request, bool restart) {
  const std::vector<std::string> names = disk_.list(folder_);
  if (!disk_.exists(path(kRequest))) {
    for (const std::string& name : names) {
      if (is_one_of(std::array{kRequest, kLock}, name)) continue;
      io::fail(
          "{}: is there, and mneme prepare has not made its {}; name another folder "
          "with --output, or move it away",
          folder_, io::printable(name));
    }
  } else if (!restart && disk_.exists(path(kProgress))) {
    check_same_request(read(kRequest), request, output_);
    *progress_ = read(kProgress);
    return;
  }
  remove_own_files();
  const std::string text = request.dump(1);
  io::replace_file(disk_, path(kRequest), std::as_bytes(std::span(text)));
}

// The work so far, but for the request.
void WorkFolder::remove_own_files() {
  // First: without it nobody goes on with what is half removed.
  disk_.remove(path(kProgress));
  disk_.remove(path(kProgress) + io::kAsideSuffix);
  disk_.sync_directory(folder_);
  if (!disk_.exists(dataset_)) return;
  for (const char* part : kParts) {
    const std::string folder = dataset_ + "/" + part;
    if (!disk_.is_directory(folder)) continue;
    for (const std::string& name : disk_.list(folder)) {
      if (!is_token_file(name)) {
        io::fail("{}/{}: mneme prepare has not made it; move it away", folder, io::printable(name));
      }
      disk_.remove(folder + "/" + name);
    }
    disk_.remove(folder);
  }
  for (const std::string& name : disk_.list(dataset_)) {
    if (!is_one_of(kDatasetFiles, name)) {
      io::fail("{}/{}: mneme prepare has not made it; move it away", dataset_, io::printable(name));
    }
    disk_.remove(dataset_ + "/" + name);
  }
  disk_.remove(dataset_);
}

const nlohmann::json& WorkFolder::progress() const {
  return *progress_;
}

void WorkFolder::save_progress(const nlohmann::json& progress) {
  const std::string text = progress.dump(1);
  io::replace_file(disk_, path(kProgress), std::as_bytes(std::span(text)));
}

void WorkFolder::publish() {
  for (const char* part : kParts) {
    if (disk_.exists(dataset_ + "/" + part)) disk_.sync_directory(dataset_ + "/" + part);
  }
  disk_.sync_directory(dataset_);
  disk_.rename(dataset_, output_);
  disk_.sync_directory(io::directory_of(output_));
  drop_work();
}

// What else lies in the folder stays, and the folder with it.
void WorkFolder::drop_work() {
  for (const char* name : {kProgress, kRequest}) {
    disk_.remove(path(name));
    disk_.remove(path(name) + io::kAsideSuffix);
  }
  if (disk_.list(folder_).size() > 1) return;
  disk_.remove(path(kLock));
  disk_.remove(folder_);
  disk_.sync_directory(io::directory_of(folder_));
}

}  // namespace mneme::text
