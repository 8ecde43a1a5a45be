/*
 * To be preloaded into a worker: the ioctl by which Lustre's client tells the FID of an open file, for a tree
 * whose objects have theirs in the attribute trusted.lma (see standin.c). Every other ioctl is the kernel's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* lustre_user.h: LL_IOC_PATH2FID _IOR('f', 173, long) */
enum { PATH2FID = 2u << 30 | 8 << 16 | 'f' << 8 | 173 };

int ioctl(int fd, unsigned long request, ...)
{
    uint8_t attribute[64];
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if ((uint32_t)request != (uint32_t)PATH2FID)
        return (int)syscall(SYS_ioctl, fd, request, argument);
    if (fgetxattr(fd, "trusted.lma", attribute, sizeof(attribute)) < 24) {
        errno = ENOTTY;
        return -1;
    }
    memcpy(argument, attribute + 8, 16);
    return 0;
}
