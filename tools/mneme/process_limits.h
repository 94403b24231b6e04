// Limits of the process that the program may lift itself.
#pragma once

namespace mneme::tools {

// Lets the program open as many files as the hard limit allows: a folder of token shards keeps each
// of them open. Gives threads that are started from now on stacks of at least 1 MiB, whatever the
// limit for the main thread's is. Call it before threads are started.
void lift_process_limits();

}  // namespace mneme::tools
