// What softcuda counts, reports and is told: failures on demand, the log, answers to questions.
#pragma once
#include <string>

#include "interpreter.h"

namespace soft {

// Called at the start of every driver call: counts it, and gives the error it was told to fail with, or SUCCESS.
Error entering(const char* call);
SHARED void report(const std::string& message);  // a mistake found: to stderr, the log and the answer to "errors"
void record(const Launch& launch, const Outcome& outcome, double milliseconds);
bool eager();                       // whether asynchronous work runs at once
extern std::atomic<bool> dropping;  // whether launches are not looked at and never run
int workers();
long setting(const char* name, long otherwise);  // of the environment
// Runs a command and answers in JSON; README.md lists them.
std::string command(const std::string& text);

}  // namespace soft
