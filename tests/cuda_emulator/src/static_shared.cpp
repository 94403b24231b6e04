#include "tests/cuda_emulator/src/static_shared.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tests/cuda_emulator/src/report.h"

namespace emulator {
namespace {

// The program's file, read where it lies.
class Program {
 public:
  Program() {
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (file < 0 || fstat(file, &status) != 0) die("cannot read the program's symbols");
    bytes_ = static_cast<std::size_t>(status.st_size);
    void* data = mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (data == MAP_FAILED) die("cannot read the program's symbols");
    data_ = static_cast<const char*>(data);
  }
  ~Program() { munmap(const_cast<char*>(data_), bytes_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Calls body(symbol, name) for all of them.
  template <typename Body>
  void for_each_symbol(const Body& body) const {
    const auto& header = *at<Elf64_Ehdr>(0);
    const auto* sections = at<Elf64_Shdr>(header.e_shoff);
    for (unsigned i = 0; i < header.e_shnum; ++i) {
      if (sections[i].sh_type != SHT_SYMTAB) continue;
      const char* names = at<char>(sections[sections[i].sh_link].sh_offset);
      const auto* symbols = at<Elf64_Sym>(sections[i].sh_offset);
      const std::size_t count = sections[i].sh_size / sizeof(Elf64_Sym);
      for (std::size_t s = 0; s < count; ++s) body(symbols[s], names + symbols[s].st_name);
    }
  }

 private:
  template <typename T>
  const T* at(std::size_t offset) const {
    return reinterpret_cast<const T*>(data_ + offset);
  }

  const char* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Where the program lies; its symbols count from there.
std::uintptr_t load_address() {
  std::uintptr_t address = 0;
  const auto first = [](dl_phdr_info* info, std::size_t, void* result) {
    *static_cast<std::uintptr_t*>(result) = info->dlpi_addr;
    return 1;  // The program comes first.
  };
  dl_iterate_phdr(first, &address);
  return address;
}

// The function of a variable in one of its blocks, as mangled: _ZZ function E variable. Empty for
// other variables.
std::string_view owner(std::string_view variable) {
  if (!variable.starts_with("_ZZ")) return {};
  // A variable's name has a length before it and no E, unless it is capital: look for the E that
  // the rest, digits and as many letters, fits behind.
  for (std::size_t end = variable.rfind('E'); end != std::string_view::npos && end > 3;
       end = variable.rfind('E', end - 1)) {
    const std::string_view rest = variable.substr(end + 1);
    std::size_t length = 0, digits = 0;
    for (; digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9'; ++digits) {
      length = 10 * length + static_cast<std::size_t>(rest[digits] - '0');
    }
    if (digits != 0 && digits + length <= rest.size()) return variable.substr(3, end - 3);
  }
  return {};
}

using BytesOfKernels = std::unordered_map<std::uintptr_t, std::size_t>;

BytesOfKernels read_symbols() {
  const Program program;
  std::unordered_map<std::string, std::size_t> bytes_by_name;  // without the leading _Z
  program.for_each_symbol([&](const Elf64_Sym& symbol, std::string_view name) {
    if (ELF64_ST_TYPE(symbol.st_info) != STT_TLS) return;
    // Without gaps, as ptxas lays them out: those that are aligned the most come first.
    const std::size_t bytes = (symbol.st_size + 3) / 4 * 4;
    if (const std::string_view function = owner(name); !function.empty()) {
      bytes_by_name[std::string(function)] += bytes;
    }
  });
  BytesOfKernels bytes;
  program.for_each_symbol([&](const Elf64_Sym& symbol, std::string_view name) {
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || !name.starts_with("_Z")) return;
    const auto entry = bytes_by_name.find(std::string(name.substr(2)));
    if (entry != bytes_by_name.end()) bytes[load_address() + symbol.st_value] = entry->second;
  });
  return bytes;
}

}  // namespace

std::size_t static_shared_bytes(const void* kernel) {
  static const BytesOfKernels bytes = read_symbols();
  const auto entry = bytes.find(reinterpret_cast<std::uintptr_t>(kernel));
  return entry == bytes.end() ? 0 : entry->second;
}

}  // namespace emulator
