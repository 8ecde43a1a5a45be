/*
 * Prints what a C compiler makes of the documented struct changelog_rec, its extensions and their constants,
 * one "name value" a line. The declarations are our own, from the manual page llapi_changelog_recv(3).
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct lu_fid { uint64_t f_seq; uint32_t f_oid; uint32_t f_ver; };

struct changelog_rec {
    uint16_t cr_namelen;
    uint16_t cr_flags;
    uint32_t cr_type;
    uint64_t cr_index;
    uint64_t cr_prev;
    uint64_t cr_time;
    union {
        struct lu_fid cr_tfid;
        uint32_t cr_markerflags;
    };
    struct lu_fid cr_pfid;
} __attribute__((packed));

struct rename_extension { struct lu_fid source, source_parent; };
struct jobid_extension { char jobid[32]; };
struct extra_extension { uint64_t flags; };
struct uidgid_extension { uint64_t uid, gid; };
struct nid_extension { uint64_t nid, more; uint32_t padding; };
struct open_extension { uint32_t flags; };
struct xattr_extension { char name[256]; };

enum { FOLLOW = 0x01, BLOCK = 0x02, JOBID = 0x04, EXTRA_FLAGS = 0x08, NID_BE = 0x10 };
enum { UIDGID = 0x01, NID = 0x02, OMODE = 0x04, XATTR = 0x08 };

#define OFFSET(field) printf("offset." #field " %zu\n", offsetof(struct changelog_rec, field))
#define SIZE(name) printf("size." #name " %zu\n", sizeof(struct name))
#define CONSTANT(kind, name) printf(#kind "." #name " %d\n", name)

int main(void)
{
    OFFSET(cr_namelen);
    OFFSET(cr_flags);
    OFFSET(cr_type);
    OFFSET(cr_index);
    OFFSET(cr_prev);
    OFFSET(cr_time);
    OFFSET(cr_tfid);
    OFFSET(cr_pfid);
    SIZE(lu_fid);
    SIZE(changelog_rec);
    SIZE(rename_extension);
    SIZE(jobid_extension);
    SIZE(extra_extension);
    SIZE(uidgid_extension);
    SIZE(nid_extension);
    SIZE(open_extension);
    SIZE(xattr_extension);
    CONSTANT(Flag, FOLLOW);
    CONSTANT(Flag, BLOCK);
    CONSTANT(Flag, JOBID);
    CONSTANT(Flag, EXTRA_FLAGS);
    CONSTANT(Flag, NID_BE);
    CONSTANT(ExtraFlag, UIDGID);
    CONSTANT(ExtraFlag, NID);
    CONSTANT(ExtraFlag, OMODE);
    CONSTANT(ExtraFlag, XATTR);
    return 0;
}
