/* Feeds each file named on the command line to the fuzz target's entry point, so that the
 * committed seeds run as an ordinary test in every flavour. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0;
    size_t capacity = 0;

    if (file == NULL) {
        (void)fprintf(stderr, "%s: cannot open\n", path);
        return 1;
    }
    for (;;) {
        if (size == capacity) {
            capacity = capacity == 0 ? 4096 : capacity * 2;
            uint8_t *grown = realloc(data, capacity);
            if (grown == NULL) {
                abort();
            }
            data = grown;
        }
        size_t got = fread(data + size, 1, capacity - size, file);
        if (got == 0) {
            break;
        }
        size += got;
    }
    (void)fclose(file);
    /* An exact-size copy, so that a read past the end is seen by a sanitizer. */
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    if (exact == NULL) {
        abort();
    }
    for (size_t i = 0; i < size; i++) {
        exact[i] = data[i];
    }
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;

    for (int i = 1; i < argc; i++) {
        failed |= replay(argv[i]);
    }
    (void)printf("replayed %d inputs\n", argc - 1);
    return failed;
}
