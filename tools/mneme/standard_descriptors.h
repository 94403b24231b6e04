// Standard input, output and error as the program finds and leaves them.
#pragma once

#include <string>

namespace mneme::tools {

// Opens /dev/null for each of the descriptors 0 to 2 that is closed, so that no file of the program
// gets its number and, with it, what is printed. Printing to a standard output that was closed
// fails, as before; what is printed to a closed standard error is nobody's. Throws Error.
// Call it before anything else opens a file.
void open_standard_descriptors();

// Writes out what is buffered for standard output. Throws Error when any of what was ever printed
// there did not arrive.
void finish_standard_output();

// The text of an Error about output that could not be written for the reason `error`, an errno
// value; 0 for a reason that is not known any more.
std::string lost_output(int error);

}  // namespace mneme::tools
