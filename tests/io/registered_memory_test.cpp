// A transfer uses a fixed buffer exactly when one buffer covers it wholly; what the kernel's table
// cannot take is used all the same.
#include "io/registered_memory.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "io/aligned_buffer.h"
#include "io/disk.h"
#include "io/file_io.h"
#include "io/random.h"
#include "tests/io/temporary_directory.h"
#include "tests/io/uring_support.h"

namespace mneme::io {
namespace {

TEST(RegisteredMemory, finds_the_one_buffer_that_covers_a_range) {
  AlignedBuffer buffer(16384, 4096);
  RegisteredMemory memory;
  const std::size_t second = memory.add(buffer.span().subspan(8192, 4096));
  const std::size_t third = memory.add(buffer.span().first(4096));
  EXPECT_FALSE(memory.find(buffer.data(), 512)) << "not registered yet";
  for (auto& chunk : memory.chunks()) chunk.registered = true;
  memory.rebuild_index();
  EXPECT_EQ(memory.find(buffer.data(), 4096), memory.chunks()[third].index);
  EXPECT_EQ(memory.find(buffer.data() + 8192 + 3584, 512), memory.chunks()[second].index);
  EXPECT_FALSE(memory.find(buffer.data(), 4097)) << "one byte too long";
  EXPECT_FALSE(memory.find(buffer.data() + 4096, 512)) << "between the two";
  EXPECT_FALSE(memory.find(buffer.data() + 12288, 512)) << "behind the last";
  memory.chunks()[third].registered = false;
  memory.rebuild_index();
  EXPECT_FALSE(memory.find(buffer.data(), 512)) << "refused";
}

TEST(RegisteredMemory, splits_at_the_kernels_limit_of_one_gibibyte) {
  // Never touched, so it is address space only.
  constexpr std::size_t kBytes = (std::size_t{5} << 29) + 4096;
  const std::unique_ptr<void, void (*)(void*)> space(std::aligned_alloc(4096, kBytes), std::free);
  ASSERT_NE(space, nullptr);
  auto* begin = static_cast<std::byte*>(space.get());
  RegisteredMemory memory;
  memory.add({begin, kBytes});
  ASSERT_EQ(memory.chunks().size(), 3u);
  for (auto& chunk : memory.chunks()) {
    EXPECT_LE(chunk.bytes, RegisteredMemory::kMaxChunkBytes);
    chunk.registered = true;
  }
  memory.rebuild_index();
  EXPECT_EQ(memory.find(begin + RegisteredMemory::kMaxChunkBytes - 512, 512), 0u);
  EXPECT_EQ(memory.find(begin + RegisteredMemory::kMaxChunkBytes, 512), 1u);
  EXPECT_FALSE(memory.find(begin + RegisteredMemory::kMaxChunkBytes - 512, 1024));
  EXPECT_EQ(memory.find(begin + kBytes - 512, 512), 2u);
}

TEST(RegisteredMemory, what_is_refused_is_used_unregistered_with_one_warning) {
  REQUIRE_URING_OR_SKIP();
  test::TemporaryDirectory directory;
  const auto disk = make_posix_disk();
  constexpr std::size_t kBuffers = RegisteredMemory::kMaxChunks + 20;
  AlignedBuffer memory(kBuffers * 4096, 4096);
  SplitMix(1).fill(memory.span());
  OpenOptions options;
  options.create = true;
  options.engine = IoEngine::kUring;
  auto file = disk->open(directory.file("f"), options);
  testing::internal::CaptureStderr();
  for (std::size_t i = 0; i < kBuffers; ++i) {
    file->register_buffer(memory.span().subspan(i * 4096, 4096));
  }
  const std::string warning = testing::internal::GetCapturedStderr();
  const std::size_t first = warning.find("unregistered");
  ASSERT_NE(first, std::string::npos) << warning;
  EXPECT_EQ(warning.find("unregistered", first + 1), std::string::npos) << warning;

  for (const std::size_t i : {std::size_t{0}, kBuffers - 1}) {
    std::byte* data = memory.data() + i * 4096;
    const std::vector<std::byte> content(data, data + 4096);
    write_blocks(*file, i * 4096, {data, 4096});
    std::memset(data, 0, 4096);
    read_blocks(*file, i * 4096, {data, 4096});
    EXPECT_EQ(std::memcmp(data, content.data(), 4096), 0) << i;
  }
  file.reset();
}

// Whether a child made by fork can read `data` without a fault.
bool child_has(const std::byte* data) {
  const pid_t child = ::fork();
  if (child == 0) {
    // Asks the kernel instead of touching it: write() reports EFAULT where no memory is.
    int ends[2];
    if (::pipe(ends) != 0) ::_exit(2);
    ::_exit(::write(ends[1], data, 1) == 1 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(RegisteredMemory, is_kept_out_of_forked_children_until_the_file_is_closed) {
  AlignedBuffer buffer(1 << 20, 4096);
  {
    RegisteredMemory memory;
    memory.add(buffer.span());
    EXPECT_FALSE(child_has(buffer.data() + 8192));
  }
  EXPECT_TRUE(child_has(buffer.data() + 8192));
}

}  // namespace
}  // namespace mneme::io
