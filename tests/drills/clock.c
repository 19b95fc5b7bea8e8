/* A clock that can be set without touching the machine's: preloaded, it adds the seconds in the
   file DRILL_CLOCK to the time of day that the Python interpreter reads. Other code of the process,
   which waits until absolute times of the kernel's clock, goes on reading that one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift_s;
static uintptr_t interpreter, low, high;

static int find_interpreter(struct dl_phdr_info *object, size_t size, void *data)
{
    (void)size, (void)data;
    for (int n = 0; n < object->dlpi_phnum; n++) {
        uintptr_t from = object->dlpi_addr + object->dlpi_phdr[n].p_vaddr;
        uintptr_t to = from + object->dlpi_phdr[n].p_memsz;
        if (object->dlpi_phdr[n].p_type == PT_LOAD && from <= interpreter && interpreter < to) {
            low = from, high = to;
            return 1;
        }
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DRILL_CLOCK");
    interpreter = (uintptr_t)dlsym(RTLD_DEFAULT, "Py_GetVersion");
    int file = path && interpreter ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof *shift_s, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page == MAP_FAILED)
        return;
    dl_iterate_phdr(find_interpreter, NULL);
    shift_s = page;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    static int (*kernel)(clockid_t, struct timespec *);
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    if (!kernel)
        *(void **)&kernel = dlsym(RTLD_NEXT, "clock_gettime");
    int result = kernel(clock, at);
    if (!result && clock == CLOCK_REALTIME && shift_s && low <= caller && caller < high)
        at->tv_sec += *shift_s;
    return result;
}
