/* Files and directories, and the kernel's log. Paths are absolute unless said otherwise. */
#ifndef BOOT_INIT_FILES_H
#define BOOT_INIT_FILES_H

#include "vmm/types.h"

enum { NAME_BYTES = 256, PATH_BYTES = 4096 };

/* One line of strings up to a NULL, in the kernel's log; the console shows it even with `quiet`. */
void note(const char *first, ...);

/* Opens; O_CLOEXEC and, for a terminal, O_NOCTTY come on top. Returns a descriptor or -errno. */
int file_take(const char *path, int flags);

/*
 * Returns all of a file with a NUL behind it, *bytes long without, in memory that is never given
 * back; NULL when it can't be read.
 */
char *file_load(const char *path, size_t *bytes);

/* Writes text to a file that isn't there, leads nowhere or is empty. */
void file_fill(const char *path, const char *text);

/*
 * Puts the next name of a directory in the place of `name`, "" at first: the smallest that is
 * greater, so that all come in order, whatever is made and removed meanwhile. False: there is no
 * more, or no directory.
 */
bool directory_next(const char *path, char name[NAME_BYTES]);

/* Removes a directory and the files in it; its own directories must be gone. */
void directory_remove(const char *path);

/* Makes a directory and those that lead to it, where they are missing. */
void directory_make(const char *path);

#endif
