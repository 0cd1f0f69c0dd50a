// A libcublas.so.12 whose functions are jumps to their namesakes in libcublas.so.13, for JCublas 12 on a machine that has only CUDA 13.
// names.h, which forward.sh makes, has a line FORWARD(number, name) for each function.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

#define FORWARD(number, name) #name,
static const char *const names[] = {
#include "names.h"
};
#undef FORWARD
enum { COUNT = sizeof names / sizeof *names };

__attribute__((visibility("hidden"))) void *targets[COUNT];

// CUBLAS_STATUS_NOT_SUPPORTED
static int missing(void) {
  fprintf(stderr, "cublas: a function was called that libcublas.so.13 does not have\n");
  return 15;
}

__attribute__((constructor)) static void find(void) {
  void *library = dlopen("libcublas.so.13", RTLD_NOW | RTLD_LOCAL);
  if (!library) fprintf(stderr, "cublas: no library to forward to: %s\n", dlerror());
  for (int n = 0; n < COUNT; n++) {
    void *target = library ? dlsym(library, names[n]) : 0;
    targets[n] = target ? target : (void *)missing;
  }
}

// Arguments stay where they are, whatever the function takes.
#define FORWARD(number, name) __asm__(".globl " #name "\n.type " #name ", @function\n" #name ": jmp *targets + 8 * " #number "(%rip)\n");
#include "names.h"
