// Functions of libc that work on files and directories.
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/fault_injection/plan.h"

namespace mneme::test {
namespace {

// The third argument of open() where it has one.
mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

// How many bytes a short transfer moves. Direct I/O knows whole sectors only.
size_t part_of(int descriptor, size_t bytes) {
  constexpr size_t kSector = 512;
  if (bytes >= 2 * kSector) return bytes / 2 / kSector * kSector;
  const bool direct = (::fcntl(descriptor, F_GETFL) & O_DIRECT) != 0;
  return direct || bytes < 2 ? bytes : bytes / 2;
}

// A transfer, given as a function of the number of bytes to move.
template <typename Call>
ssize_t transfer(Function function, int descriptor, size_t bytes, Call call) {
  const Verdict verdict = begin_call(function, CallPath::of_descriptor(descriptor));
  if (verdict.error != 0) {
    errno = verdict.error;
    return -1;
  }
  const ssize_t result = call(verdict.short_transfer ? part_of(descriptor, bytes) : bytes);
  if (verdict.signal_after) end_call();
  return result;
}

}  // namespace
}  // namespace mneme::test

using mneme::test::CallPath;
using mneme::test::Function;
using mneme::test::pass;
using mneme::test::transfer;

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mneme::test::mode_of(flags, arguments);
  va_end(arguments);
  return pass(Function::kOpen, CallPath::named(path), -1,
              [&] { return MNEME_NEXT(open)(path, flags, mode); });
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mneme::test::mode_of(flags, arguments);
  va_end(arguments);
  return pass(Function::kOpen, CallPath::named(path), -1,
              [&] { return MNEME_NEXT(open64)(path, flags, mode); });
}

int openat(int directory, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mneme::test::mode_of(flags, arguments);
  va_end(arguments);
  return pass(Function::kOpenat, CallPath::named(path), -1,
              [&] { return MNEME_NEXT(openat)(directory, path, flags, mode); });
}

FILE* fopen(const char* path, const char* mode) {
  return pass(Function::kFopen, CallPath::named(path), static_cast<FILE*>(nullptr),
              [&] { return MNEME_NEXT(fopen)(path, mode); });
}

FILE* fopen64(const char* path, const char* mode) {
  return pass(Function::kFopen, CallPath::named(path), static_cast<FILE*>(nullptr),
              [&] { return MNEME_NEXT(fopen64)(path, mode); });
}

int close(int descriptor) {
  // A close() that fails has closed the descriptor all the same, on Linux.
  const mneme::test::Verdict verdict =
      mneme::test::begin_call(Function::kClose, CallPath::of_descriptor(descriptor));
  const int result = MNEME_NEXT(close)(descriptor);
  if (verdict.signal_after) mneme::test::end_call();
  if (verdict.error == 0) return result;
  errno = verdict.error;
  return -1;
}

ssize_t read(int descriptor, void* data, size_t bytes) {
  return transfer(Function::kRead, descriptor, bytes,
                  [&](size_t part) { return MNEME_NEXT(read)(descriptor, data, part); });
}

ssize_t pread(int descriptor, void* data, size_t bytes, off_t offset) {
  return transfer(Function::kPread, descriptor, bytes,
                  [&](size_t part) { return MNEME_NEXT(pread)(descriptor, data, part, offset); });
}

ssize_t write(int descriptor, const void* data, size_t bytes) {
  return transfer(Function::kWrite, descriptor, bytes,
                  [&](size_t part) { return MNEME_NEXT(write)(descriptor, data, part); });
}

ssize_t pwrite(int descriptor, const void* data, size_t bytes, off_t offset) {
  return transfer(Function::kPwrite, descriptor, bytes,
                  [&](size_t part) { return MNEME_NEXT(pwrite)(descriptor, data, part, offset); });
}

ssize_t writev(int descriptor, const iovec* pieces, int count) {
  return transfer(Function::kWritev, descriptor, 0,
                  [&](size_t) { return MNEME_NEXT(writev)(descriptor, pieces, count); });
}

int fsync(int descriptor) {
  return pass(Function::kFsync, CallPath::of_descriptor(descriptor), -1,
              [&] { return MNEME_NEXT(fsync)(descriptor); });
}

int fdatasync(int descriptor) {
  return pass(Function::kFdatasync, CallPath::of_descriptor(descriptor), -1,
              [&] { return MNEME_NEXT(fdatasync)(descriptor); });
}

int ftruncate(int descriptor, off_t bytes) noexcept {
  return pass(Function::kFtruncate, CallPath::of_descriptor(descriptor), -1,
              [&] { return MNEME_NEXT(ftruncate)(descriptor, bytes); });
}

int fallocate(int descriptor, int mode, off_t offset, off_t bytes) {
  return pass(Function::kFallocate, CallPath::of_descriptor(descriptor), -1,
              [&] { return MNEME_NEXT(fallocate)(descriptor, mode, offset, bytes); });
}

int flock(int descriptor, int operation) noexcept {
  return pass(Function::kFlock, CallPath::of_descriptor(descriptor), -1,
              [&] { return MNEME_NEXT(flock)(descriptor, operation); });
}

int rename(const char* from, const char* to) noexcept {
  return pass(Function::kRename, CallPath::named(to), -1,
              [&] { return MNEME_NEXT(rename)(from, to); });
}

int remove(const char* path) noexcept {
  return pass(Function::kRemove, CallPath::named(path), -1,
              [&] { return MNEME_NEXT(remove)(path); });
}

int unlink(const char* path) noexcept {
  return pass(Function::kRemove, CallPath::named(path), -1,
              [&] { return MNEME_NEXT(unlink)(path); });
}

int mkdir(const char* path, mode_t mode) noexcept {
  return pass(Function::kMkdir, CallPath::named(path), -1,
              [&] { return MNEME_NEXT(mkdir)(path, mode); });
}

DIR* opendir(const char* path) {
  return pass(Function::kOpendir, CallPath::named(path), static_cast<DIR*>(nullptr),
              [&] { return MNEME_NEXT(opendir)(path); });
}

DIR* fdopendir(int descriptor) {
  return pass(Function::kOpendir, CallPath::of_descriptor(descriptor), static_cast<DIR*>(nullptr),
              [&] { return MNEME_NEXT(fdopendir)(descriptor); });
}

dirent* readdir(DIR* directory) {
  return pass(Function::kReaddir, CallPath::of_descriptor(::dirfd(directory)),
              static_cast<dirent*>(nullptr), [&] { return MNEME_NEXT(readdir)(directory); });
}

int access(const char* path, int mode) noexcept {
  return pass(Function::kAccess, CallPath::named(path), -1,
              [&] { return MNEME_NEXT(access)(path, mode); });
}

int stat(const char* path, struct stat* status) noexcept {
  using Stat = int (*)(const char*, struct stat*);
  static const auto next = reinterpret_cast<Stat>(mneme::test::next_function("stat"));
  return pass(Function::kStat, CallPath::named(path), -1, [&] { return next(path, status); });
}

int lstat(const char* path, struct stat* status) noexcept {
  return pass(Function::kStat, CallPath::named(path), -1,
              [&] { return MNEME_NEXT(lstat)(path, status); });
}

int fstat(int descriptor, struct stat* status) noexcept {
  return pass(Function::kFstat, CallPath::of_descriptor(descriptor), -1,
              [&] { return MNEME_NEXT(fstat)(descriptor, status); });
}

int statx(int directory, const char* path, int flags, unsigned mask,
          struct statx* status) noexcept {
  using Statx = int (*)(int, const char*, int, unsigned, struct statx*);
  static const auto next = reinterpret_cast<Statx>(mneme::test::next_function("statx"));
  const CallPath where =
      path[0] == '\0' ? CallPath::of_descriptor(directory) : CallPath::named(path);
  return pass(Function::kStatx, where, -1,
              [&] { return next(directory, path, flags, mask, status); });
}

int statvfs(const char* path, struct statvfs* status) noexcept {
  using Statvfs = int (*)(const char*, struct statvfs*);
  static const auto next = reinterpret_cast<Statvfs>(mneme::test::next_function("statvfs"));
  return pass(Function::kStatvfs, CallPath::named(path), -1, [&] { return next(path, status); });
}

}  // extern "C"
