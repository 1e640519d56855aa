/* test_folder.h - a folder of a test's own under /tmp, for files and sockets, removed at its end with what is in it.
 *
 * One level deep; included once by each test that wants one. */
#ifndef TESTS_TEST_FOLDER_H
#define TESTS_TEST_FOLDER_H
#include "test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char test_folder[] = "/tmp/proa_test_XXXXXX";

/* Also after one that is gone. */
static inline bool test_folder_open(void)
{
    memcpy(test_folder, "/tmp/proa_test_XXXXXX", sizeof test_folder);
    return mkdtemp(test_folder) != NULL;
}

/* Its value lasts until the next call but seven. */
static inline const char *test_folder_path(const char *name)
{
    static char paths[8][96];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", test_folder, name);
    return path;
}

static inline long test_folder_mode(const char *name)   /* permissions of a file in it; -1 = it is not there */
{
    struct stat s;
    return stat(test_folder_path(name), &s) == 0 ? (long)(s.st_mode & 0777) : -1;
}

static inline void test_folder_close(void)
{
    DIR *d = opendir(test_folder);
    for (struct dirent *one; d && (one = readdir(d)) != NULL;) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", test_folder, one->d_name);
        if (one->d_name[0] != '.') unlink(path);
    }
    if (d) closedir(d);
    rmdir(test_folder);
}

#endif
