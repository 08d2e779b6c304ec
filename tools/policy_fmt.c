/* `domicile policy fmt`: one way to lay out policy files. */
#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "policy/format.h"
#include "tools/command.h"
#include "tools/policy_verbs.h"

static const char s_help[] =
    "NAME\n"
    "    domicile policy fmt - lay policy files out in one way, keeping every comment\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy fmt FILE... [--check|--diff|--write]\n"
    "\n"
    "DESCRIPTION\n"
    "    Prints each file with uniform spaces and indentation. The author's line breaks and\n"
    "    all comments stay; long lines are not broken. The result is read again first and has\n"
    "    the same settings, or nothing is printed. Test files are laid out alike.\n"
    "\n"
    "OPTIONS\n"
    "    --check  prints only the names of files that would change.\n"
    "    --diff   prints only the lines that would change.\n"
    "    --write  writes the files, at once or not at all, and prints those that changed.\n"
    "    --help   prints this text.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 done, or nothing would change; 1 a file has errors, or --check and one would\n"
    "    change; 2 --diff and one would change; 3 usage.\n";

static int worse(int a, int b)
{
    return a == DOM_EXIT_FAILED || b == DOM_EXIT_FAILED ? DOM_EXIT_FAILED : a > b ? a : b;
}

static int write_back(const char *path, struct dom_slice text)
{
    struct dom_error err = {0};
    struct stat info;
    unsigned mode = stat(path, &info) == 0 ? (unsigned)info.st_mode & 0777U : 0644U;

    if (dom_file_write_atomic(path, text, mode, &err) != DOM_OK) {
        (void)fprintf(stderr, "domicile policy: %s\n", err.message);
        return DOM_EXIT_FAILED;
    }
    (void)printf("%s\n", path);
    return DOM_EXIT_OK;
}

/* What `how` ('p' to print, or an option's letter) asks for. */
static int deliver(const char *path, int how, struct dom_slice before,
                   const struct dom_buffer *made)
{
    struct dom_slice after = dom_buffer_slice(made);
    bool same = dom_slice_eq(before, after);
    struct dom_buffer lines;
    int status = DOM_EXIT_OK;

    if (how == 'p') {
        return dom_policy_print(made) ? DOM_EXIT_OK : DOM_EXIT_FAILED;
    }
    if (same) {
        return DOM_EXIT_OK;
    }
    if (how == 'w') {
        return write_back(path, after);
    }
    if (how == 'c') {
        (void)printf("%s\n", path);
        return DOM_EXIT_FAILED;
    }
    dom_buffer_init(&lines, 0);
    dom_format_diff(&lines, path, before, after);
    status = dom_policy_print(&lines) ? DOM_EXIT_DIFFERS : DOM_EXIT_FAILED;
    dom_buffer_cleanup(&lines);
    return status;
}

static int format_file(const char *path, int how)
{
    struct dom_findings findings = {0};
    struct dom_error err = {0};
    struct dom_buffer text;
    struct dom_buffer out;
    int status = DOM_EXIT_FAILED;

    dom_buffer_init(&text, 0);
    dom_buffer_init(&out, 0);
    enum dom_code rc = dom_file_read(&text, path, DOM_POLICY_FILE_BYTES_MAX, &err);
    if (rc == DOM_OK) {
        rc = dom_format(&out, dom_buffer_slice(&text), &findings, &err);
    }
    if (rc == DOM_OK) {
        status = deliver(path, how, dom_buffer_slice(&text), &out);
    } else {
        dom_buffer_clear(&out);
        dom_findings_print(&findings, path, dom_buffer_slice(&text), &out);
        (void)fprintf(stderr, "%sdomicile policy: %s: %s\n", dom_buffer_cstr(&out), path,
                      err.message);
    }
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&out);
    dom_buffer_cleanup(&text);
    return status;
}

int dom_policy_fmt_verb(int argc, char **argv)
{
    static const struct option options[] = {{"check", no_argument, NULL, 'c'},
                                            {"diff", no_argument, NULL, 'd'},
                                            {"write", no_argument, NULL, 'w'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int how = 'p';
    int status = DOM_EXIT_OK;

    optind = 0;
    for (;;) {
        int found = getopt_long(argc, argv, "", options, NULL);
        if (found < 0) {
            break;
        }
        if (found == 'h') {
            (void)fputs(s_help, stdout);
            return DOM_EXIT_OK;
        }
        if (found == '?') {
            return DOM_EXIT_USAGE;
        }
        if (how != 'p' && how != found) {
            return dom_policy_usage("--check, --diff and --write exclude each other", "");
        }
        how = found;
    }
    if (optind >= argc) {
        return dom_policy_usage("fmt needs a file", "");
    }
    for (int i = optind; i < argc; i++) {
        status = worse(status, format_file(argv[i], how));
    }
    return status;
}
