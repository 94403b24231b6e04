// The program on a CUDA device, an emulated one, and on a machine that has none.
#include "engine/checkpoint.h"
#include "tests/fault_injection/fault.h"
#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

class Device : public ::testing::Test {
 protected:
  // The configuration of a run in all three tiers, written to a file.
  std::string file_of(const std::string& name, engine::DeviceKind device,
                      const std::function<void(Config&)>& change = {}) {
    Config config = run_.tiered(name);
    config.run.device = device;
    config.checkpoint.every = 2;
    if (change) change(config);
    put(run_.path(name + ".toml"), engine::to_toml(config));
    return run_.path(name + ".toml");
  }
  Finished run(const Words& words, const Words& settings = {}) {
    return Program(run_.path(""), mneme(words), settings).wait();
  }
  auto losses(const std::string& name) const {
    return engine::testing::read_losses(run_.path(name));
  }

  engine::testing::TinyRun run_;
};

constexpr auto kCpu = engine::DeviceKind::kCpu;
constexpr auto kCuda = engine::DeviceKind::kCuda;
constexpr auto kAuto = engine::DeviceKind::kAuto;

TEST_F(Device, TrainsInFloat32AsTheCpuDoes) {
  const auto exact = [](Config& config) { config.run.compute_type = kernels::FloatType::kF32; };
  for (const auto& file : {file_of("cpu", kCpu), file_of("cuda", kCuda, exact)}) {
    const Finished finished = run({"train", file});
    ASSERT_EQ(finished.status, 0) << finished.error;
  }
  const auto on_cpu = losses("cpu"), on_cuda = losses("cuda");
  ASSERT_EQ(on_cuda.size(), on_cpu.size());
  for (std::size_t i = 0; i < on_cpu.size(); ++i) {
    EXPECT_NEAR(on_cuda[i].second, on_cpu[i].second, 1e-4 * on_cpu[i].second) << "step " << i + 1;
  }
}

// In bf16, which is how a device trains unless told otherwise.
TEST_F(Device, TrainsInBf16NearlyAsTheCpuDoesAndItsRunServesEveryCommand) {
  for (const auto& file : {file_of("cpu", kCpu), file_of("cuda", kAuto)}) {
    const Finished finished = run({"train", file});
    ASSERT_EQ(finished.status, 0) << finished.error;
  }
  const auto on_cpu = losses("cpu"), on_cuda = losses("cuda");
  ASSERT_EQ(on_cuda.size(), on_cpu.size());
  for (std::size_t i = 0; i < on_cpu.size(); ++i) {
    EXPECT_NEAR(on_cuda[i].second, on_cpu[i].second, 2e-2 * on_cpu[i].second) << "step " << i + 1;
  }
  EXPECT_NE(on_cuda, on_cpu) << "auto takes the device";
  for (const Words& command :
       {Words{"eval"}, Words{"generate", "--tokens", "5"}, Words{"verify"}, Words{"inspect"}}) {
    Words words = command;
    words.insert(words.begin() + 1, run_.path("cuda"));
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 0) << command[0] << ": " << finished.error;
  }
}

TEST_F(Device, ItsCheckpointsGoOnOnTheCpuAndBack) {
  const std::string file = file_of("run", kCuda);
  const Words kill_at_commit = settings({.functions = "rename",
                                         .action = "SIGKILL",
                                         .call = 1,
                                         .path = "*/manifest.json",
                                         .when = Fault::When::kAfter},
                                        run_.path("report"));
  const Finished killed = run({"train", file}, kill_at_commit);
  ASSERT_EQ(killed.status, -SIGKILL) << killed.error;
  const Finished on_cpu = run({"resume", run_.path("run"), "--device", "cpu"}, kill_at_commit);
  ASSERT_EQ(on_cpu.status, -SIGKILL) << on_cpu.error;
  const Finished finished = run({"resume", run_.path("run")});
  ASSERT_EQ(finished.status, 0) << finished.error;
  EXPECT_EQ(losses("run").size(), std::size_t{engine::testing::TinyRun::kSteps});
}

TEST_F(Device, ThatIsNotThereIsAnErrorUnlessTheChoiceIsTheProgramsOwn) {
  const Words none = {"MNEME_EMULATED_DEVICES=0"};
  const Finished refused = run({"train", file_of("cuda", kCuda)}, none);
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.error.find("this machine has no CUDA device"), std::string::npos)
      << refused.error;
  EXPECT_NE(refused.error.find("--device cpu"), std::string::npos) << refused.error;
  EXPECT_EQ(std::count(refused.error.begin(), refused.error.end(), '\n'), 1) << refused.error;
  const Finished chosen = run({"train", file_of("auto", kAuto)}, none);
  EXPECT_EQ(chosen.status, 0) << chosen.error;
  EXPECT_EQ(losses("auto").size(), std::size_t{engine::testing::TinyRun::kSteps});
}

TEST_F(Device, WithTooLittleMemorySaysWhatToLower) {
  const auto too_much = [](Config& config) { config.run.arena_bytes = std::uint64_t{1} << 40; };
  const Finished refused = run({"train", file_of("arena", kCuda, too_much)});
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.error.find("1099511627776"), std::string::npos) << refused.error;
  EXPECT_NE(refused.error.find("run.arena_bytes"), std::string::npos) << refused.error;
  const auto too_small = [](Config& config) { config.run.arena_bytes = 1 << 20; };
  const Finished full = run({"train", file_of("small", kCuda, too_small)});
  EXPECT_EQ(full.status, 1);
  EXPECT_NE(full.error.find("out of device memory"), std::string::npos) << full.error;
  EXPECT_NE(full.error.find("raise run.arena_bytes"), std::string::npos) << full.error;
}

}  // namespace
}  // namespace mneme::test
