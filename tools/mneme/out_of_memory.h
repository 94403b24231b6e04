// What the program says when memory runs out, also where no exception can pass: a destructor that
// allocates, as those of the JSON library do, would end it with an abort.
#pragma once

namespace mneme::tools {

inline constexpr const char* kOutOfMemory =
    "out of memory; smaller tiers, batches or models need less";

// From now on such a lack of memory ends the program with that line and exit status 1. Any other
// exception that nobody catches is a bug and aborts.
void end_when_out_of_memory();

// Whether memory has run out since. Streams of the library swallow that, so that a number that they
// were to read looks wrong.
bool has_run_out_of_memory();
// Whoever is about to print the error asks first: true for the first one, in whichever thread.
bool tell_out_of_memory();

}  // namespace mneme::tools
