/* A library to preload: counts what a process asks of malloc and its kin, glibc only. */
#include <errno.h>
#include <stddef.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

static unsigned long count;
#define COUNT() __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED)

unsigned long allocations(void) {
  return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

void* malloc(size_t size) {
  COUNT();
  return __libc_malloc(size);
}

void* calloc(size_t n, size_t size) {
  COUNT();
  return __libc_calloc(n, size);
}

void* realloc(void* old, size_t size) {
  COUNT();
  return __libc_realloc(old, size);
}

void* memalign(size_t alignment, size_t size) {
  COUNT();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  COUNT();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** result, size_t alignment, size_t size) {
  COUNT();
  *result = __libc_memalign(alignment, size);
  return *result ? 0 : ENOMEM;
}
