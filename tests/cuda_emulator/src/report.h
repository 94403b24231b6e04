// How the emulator ends a process whose kernels or calls break a rule.
#pragma once

namespace emulator {

// Prints "CUDA emulator: <message>" and aborts.
[[noreturn]] [[gnu::format(printf, 1, 2)]] void die(const char* format, ...);

}  // namespace emulator
