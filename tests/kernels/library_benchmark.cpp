// Matrix products of mneme beside those of OpenBLAS, oneDNN and BLIS, where Debian's packages
// libopenblas-serial-dev, libdnnl-dev and libblis-dev are installed; each with the kernels that it
// is told to take. Shapes: a linear layer's three products (y, dx, dw) and those of attention in
// the quickstart's model, the 10M model and the 134M one. One line a shape, GFLOP/s of the best of
// several rounds, in which all libraries take turns.
//   library_benchmark [threads, 1 or 2] [rounds]
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cpu/product.h"

namespace mneme::kernels::cpu {
namespace {

using Multiply = std::function<void(const Product&, float* scratch)>;

struct Library {
  std::string name;
  Multiply multiply;
};

// An instance of the library with variables of its own, which reads the environment now: a copy of
// the file. Null where the library is not installed.
void* load(const std::string& file, const char* variable, const char* value) {
  if (!std::filesystem::exists(file)) return nullptr;
  const std::string copy = fmt::format("{}/library_benchmark.{}.so",
                                       std::filesystem::temp_directory_path().string(), value);
  std::filesystem::copy_file(file, copy, std::filesystem::copy_options::overwrite_existing);
  setenv(variable, value, 1);
  void* const library = dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL);
  std::filesystem::remove(copy);
  if (library == nullptr) fmt::print("{}\n", dlerror());
  return library;
}

template <typename Function>
Function function(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

Multiply cblas(void* library) {
  using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int,
                         float, float*, int);
  constexpr int kRowMajor = 101, kAsIs = 111, kTransposed = 112;
  const auto sgemm = function<Sgemm>(library, "cblas_sgemm");
  return [=](const Product& p, float*) {
    sgemm(kRowMajor, p.a.transposed ? kTransposed : kAsIs, p.b.transposed ? kTransposed : kAsIs,
          int(p.m), int(p.n), int(p.k), p.alpha, p.a.data, int(p.a.stride), p.b.data,
          int(p.b.stride), p.accumulate ? 1.0f : 0.0f, p.c, int(p.c_stride));
  };
}

Multiply onednn(void* library) {
  using Sgemm = int (*)(char, char, std::int64_t, std::int64_t, std::int64_t, float, const float*,
                        std::int64_t, const float*, std::int64_t, float, float*, std::int64_t);
  const auto sgemm = function<Sgemm>(library, "dnnl_sgemm");
  const auto set_threads = function<void (*)(int)>(library, "omp_set_num_threads");
  return [=](const Product& p, float*) {
    set_threads(1);  // of the calling thread
    sgemm(p.a.transposed ? 'T' : 'N', p.b.transposed ? 'T' : 'N', p.m, p.n, p.k, p.alpha, p.a.data,
          p.a.stride, p.b.data, p.b.stride, p.accumulate ? 1.0f : 0.0f, p.c, p.c_stride);
  };
}

// Libraries read what they are told with the first product.
Library started(const std::string& name, const Multiply& multiply) {
  const float one = 1.0f;
  float result = 0.0f;
  std::vector<float> scratch(kProductScratch);
  Product product{.m = 1, .n = 1, .k = 1};
  product.a = product.b = {&one, 1};
  product.c = &result;
  product.c_stride = 1;
  multiply(product, scratch.data());
  return {name, multiply};
}

std::vector<Library> libraries() {
  const std::string folder = "/usr/lib/x86_64-linux-gnu/";
  std::vector<Library> found;
  setenv("BLIS_NUM_THREADS", "1", 1);
  for (const char* core : {"Haswell", "SkylakeX"}) {
    if (void* library =
            load(folder + "openblas-serial/libopenblas.so.0", "OPENBLAS_CORETYPE", core)) {
      found.push_back(started(std::string("OpenBLAS ") + core, cblas(library)));
    }
  }
  for (const char* set : {"AVX2", "ALL"}) {
    if (void* library = load(folder + "libdnnl.so.2", "ONEDNN_MAX_CPU_ISA", set)) {
      found.push_back(started(std::string("oneDNN ") + set, onednn(library)));
    }
  }
  for (const auto& [name, number] : {std::pair{"haswell", "3"}, {"zen3", "6"}, {"skx", "0"}}) {
    if (void* library = load(folder + "blis-openmp/libblis.so.4", "BLIS_ARCH_TYPE", number)) {
      found.push_back(started(std::string("BLIS ") + name, cblas(library)));
    }
  }
  for (const ProductKernels kernels : runnable_product_kernels()) {
    found.push_back(
        {kernels == ProductKernels::kAvx512 ? "mneme AVX-512" : "mneme AVX2",
         [=](const Product& p, float* scratch) { multiply_with(kernels, p, scratch); }});
  }
  return found;
}

struct Shape {
  std::string name;
  std::int64_t m, n, k;
  bool transpose_a, transpose_b;
};

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  const auto linear = [&](const char* model, std::int64_t rows, std::int64_t in, std::int64_t out) {
    all.push_back({fmt::format("{} y", model), rows, out, in, false, true});
    all.push_back({fmt::format("{} dx", model), rows, in, out, false, false});
    all.push_back({fmt::format("{} dw", model), out, in, rows, true, false});
  };
  const auto attention = [&](const char* model, std::int64_t rows, std::int64_t keys,
                             std::int64_t width) {
    all.push_back({fmt::format("{} scores", model), rows, keys, width, false, true});
    all.push_back({fmt::format("{} values", model), rows, width, keys, false, false});
    all.push_back({fmt::format("{} dkeys", model), keys, width, rows, true, false});
  };
  linear("quickstart", 1024, 128, 128);
  linear("quickstart", 1024, 128, 384);
  linear("quickstart", 1024, 384, 128);
  linear("quickstart", 1024, 128, 256);
  attention("quickstart", 64, 128, 32);
  linear("10M", 2048, 320, 320);
  linear("10M", 2048, 320, 864);
  linear("10M", 2048, 864, 320);
  linear("10M", 2048, 320, 256);
  attention("10M", 64, 256, 64);
  linear("134M", 2048, 768, 768);
  linear("134M", 2048, 768, 2048);
  linear("134M", 2048, 2048, 768);
  linear("134M", 128, 768, 32000);
  attention("134M", 128, 1024, 64);
  return all;
}

// Half of a product each, as the CPU backend cuts them.
std::vector<Product> halves(const Product& whole) {
  Product first = whole, second = whole;
  if (whole.m >= whole.n) {
    first.m = whole.m / 2;
    second.m -= first.m;
    second.a.data += first.m * (whole.a.transposed ? 1 : whole.a.stride);
    second.c += first.m * whole.c_stride;
  } else {
    first.n = whole.n / 2;
    second.n -= first.n;
    second.b.data += first.n * (whole.b.transposed ? whole.b.stride : 1);
    second.c += first.n;
  }
  return {first, second};
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// `times` products on every thread; the second thread has the second half.
double measure(const Library& library, const Product& product, int threads, int times) {
  std::vector<Product> parts = {product};
  if (threads == 2) parts = halves(product);
  std::atomic<int> ready = 0;
  const auto run = [&](const Product& part) {
    std::vector<float> memory(kProductScratch + 16);
    float* const scratch =
        memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) / 4;
    library.multiply(part, scratch);
    for (++ready; ready < std::ssize(parts);) std::this_thread::yield();
    return seconds([&] {
      for (int i = 0; i < times; ++i) library.multiply(part, scratch);
    });
  };
  double other = 0.0;
  std::thread second;
  if (threads == 2) second = std::thread([&] { other = run(parts[1]); });
  const double own = run(parts[0]);
  if (threads == 2) second.join();
  return std::max(own, other) / times;
}

void compare(int threads, int rounds) {
  const std::vector<Library> all = libraries();
  std::vector<double> logs(all.size(), 0.0);
  fmt::print("{:<34}", "GFLOP/s");
  for (const Library& library : all) fmt::print(" {:>17}", library.name);
  fmt::print("\n");
  const std::vector<Shape> list = shapes();
  for (const Shape& shape : list) {
    const auto [m, n, k] = std::tuple{shape.m, shape.n, shape.k};
    std::vector<float> a(static_cast<std::size_t>(m * k), 0.5f);
    std::vector<float> b(static_cast<std::size_t>(k * n), 0.25f);
    std::vector<float> c(static_cast<std::size_t>(m * n));
    Product product{.m = m, .n = n, .k = k};
    product.a = {a.data(), shape.transpose_a ? m : k, shape.transpose_a};
    product.b = {b.data(), shape.transpose_b ? k : n, shape.transpose_b};
    product.c = c.data();
    product.c_stride = n;
    product.accumulate = shape.transpose_a;
    const double operations = 2.0 * double(m) * double(n) * double(k);
    const int times = std::max(1, int(5e7 / operations));
    std::vector<double> best(all.size(), 1e9);
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < all.size(); ++i) {
        best[i] = std::min(best[i], measure(all[i], product, threads, times));
      }
    }
    fmt::print("{:<18} {:>15}", shape.name, fmt::format("{}x{}x{}", m, n, k));
    for (std::size_t i = 0; i < all.size(); ++i) {
      const double speed = 1e-9 * operations / best[i];
      logs[i] += std::log(speed) / double(list.size());
      fmt::print(" {:>17.1f}", speed);
    }
    fmt::print("\n");
    std::fflush(stdout);
  }
  fmt::print("{:<34}", "geometric mean");
  for (const double log : logs) fmt::print(" {:>17.1f}", std::exp(log));
  fmt::print("\n");
}

}  // namespace
}  // namespace mneme::kernels::cpu

int main(int count, char** words) {
  const int threads = count > 1 ? std::atoi(words[1]) : 1;
  const int rounds = count > 2 ? std::atoi(words[2]) : 10;
  if (threads < 1 || threads > 2 || rounds < 1) {
    fmt::print(stderr, "usage: library_benchmark [1 or 2 threads] [rounds]\n");
    return 2;
  }
  mneme::kernels::cpu::compare(threads, rounds);
  return 0;
}
