// A testing aid: named places at which a test has the process killed as `kill -9` would.
//
// The environment variable MNEME_KILL_AT = "NAME:N" raises SIGKILL at the N-th passing (from 1) of
// kill_point("NAME"); without it a passing costs one comparison. The points of the program, in the
// order in which a checkpoint passes them:
//   step                  engine/trainer.cpp: a step's metrics are written
//   write-submitted       offload/disk_tier.cpp: a record's write is queued, in steps and flushes
//   checkpoint-begin      engine/checkpoint.cpp: before anything is written
//   checkpoint-flushed    one table's records are durable, its row -> slot table is not yet
//   checkpoint-table      one row -> slot table is durable
//   checkpoint-dense      the dense tensors are durable
//   manifest-written      engine/manifest.cpp: manifest.json.new is durable
//   manifest-renamed      it has replaced the old one; the directory is not synced
//   checkpoint-committed  before the files of dropped checkpoints are removed
#pragma once

namespace mneme::io {

// Throws Error when MNEME_KILL_AT is set but is not NAME:N.
void kill_point(const char* name);

}  // namespace mneme::io
