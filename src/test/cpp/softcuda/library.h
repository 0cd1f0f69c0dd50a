// What a library over the driver, such as cublas.cpp, asks of it.
#pragma once
#include <functional>

#include "control.h"

namespace soft {

// The frame of every call: alone in the driver, counted by its name, failed with a code as told. `body` gets what stands in its way (the error
// of a lost context, or that there is none) and the current context.
SHARED int enter(const char* name, const std::function<int(Error, void*)>& body);
// In such a call: the error where a capture prohibits to allocate and free, which breaks it; or SUCCESS.
SHARED Error prohibited();
// In such a call: queues work in a stream as a kernel is queued. When it runs, it is counted, reported and failed as a kernel of that name.
SHARED Error submit(const char* kernel, void* stream, const std::function<Outcome()>& work);

}  // namespace soft
