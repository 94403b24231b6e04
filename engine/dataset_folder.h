// A folder that mneme prepare has made, as a run's data: files of tokens for training and
// validation, the tokenizer that they were made with, and the token between documents.
#pragma once

#include "engine/config.h"

namespace mneme::engine {

// The configuration with what the folder says of itself where data.path names one: the paths and
// the format of its files, and, where the keys are not set, its tokenizer and separator. Any other
// configuration as it is, also with data.format = "bytes". Throws Error naming the file for a
// folder that is damaged or has lost a file, for data.vocabulary below that of its tokens, and for
// a data.tokenizer that is another one.
DataConfig resolve_dataset(DataConfig data);

}  // namespace mneme::engine
