/* `domicile pki`: a development CA in one command, certificates in another. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "tools/command.h"
#include "tools/pki.h"

static const char s_help[] =
    "NAME\n"
    "    domicile pki - a CA for development and its certificates\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile pki ca --out DIR --trust-domain NAME [--days N]\n"
    "    domicile pki issue --ca DIR --region R --service S --out DIR [--days N]\n"
    "                       [--name HOST]...\n"
    "    domicile pki revoke --ca DIR --serial HEX\n"
    "    domicile pki show FILE\n"
    "\n"
    "DESCRIPTION\n"
    "    ca      makes ca.pem, ca.key (0600) and an empty crl.pem\n"
    "    issue   makes svid.pem, svid_key.pem (0600) and bundle.pem, named as SPIRE\n"
    "            names them, for spiffe://NAME/region/R/service/S; prints the serial.\n"
    "            They serve a router as well as a caller; --name is what a router is\n"
    "            called besides localhost, 127.0.0.1 and ::1\n"
    "    revoke  puts a serial on crl.pem\n"
    "    show    prints id, serial, key hash and dates of the certificates of a file\n"
    "\n"
    "    Keys are EC P-256. For production use SPIRE or a CA of your own: the router\n"
    "    takes their files as they are.\n"
    "\n"
    "OPTIONS\n"
    "    --days N   how long it is valid: a CA 365, a certificate 1 when not given\n"
    "\n"
    "EXIT STATUS\n"
    "    0 done; 1 failed; 3 usage.\n";

enum { OPT_OUT = 256, OPT_DOMAIN, OPT_CA, OPT_REGION, OPT_SERVICE, OPT_DAYS, OPT_NAME, OPT_SERIAL,
       OPT_HELP };

struct args {
    const char *trust_domain;
    const char *serial;
    struct dom_pki_request request;
};

static int usage(const char *why)
{
    (void)fprintf(stderr, "domicile pki: %s (see domicile pki --help)\n", why);
    return DOM_EXIT_USAGE;
}

static int failed(const struct dom_error *err)
{
    (void)fprintf(stderr, "domicile pki: %s\n", err->message);
    return DOM_EXIT_FAILED;
}

static bool take_option(struct args *args, int option, const char *value)
{
    struct dom_pki_request *r = &args->request;
    char *end = NULL;

    switch (option) {
    case OPT_OUT:
        r->out = value;
        return true;
    case OPT_DOMAIN:
        args->trust_domain = value;
        return true;
    case OPT_CA:
        r->ca = value;
        return true;
    case OPT_REGION:
        r->region = value;
        return true;
    case OPT_SERVICE:
        r->service = value;
        return true;
    case OPT_SERIAL:
        args->serial = value;
        return true;
    case OPT_DAYS:
        r->days = (unsigned)strtoul(value, &end, 10);
        return value[0] >= '0' && value[0] <= '9' && *end == '\0' && r->days > 0;
    case OPT_NAME:
        if (r->num_names >= DOM_PKI_NAMES_MAX) {
            return false;
        }
        r->names[r->num_names++] = value;
        return true;
    default:
        return false;
    }
}

static int make_ca(struct args *args)
{
    struct dom_error err = {0};
    unsigned days = args->request.days == 0 ? 365 : args->request.days;

    if (args->request.out == NULL || args->trust_domain == NULL) {
        return usage("ca needs --out and --trust-domain");
    }
    return dom_pki_make_ca(args->request.out, args->trust_domain, days, &err) == DOM_OK
               ? DOM_EXIT_OK
               : failed(&err);
}

static int issue(struct args *args)
{
    struct dom_error err = {0};
    struct dom_pki_request *r = &args->request;
    char serial[DOM_PKI_SERIAL_SIZE];

    if (r->ca == NULL || r->region == NULL || r->service == NULL || r->out == NULL) {
        return usage("issue needs --ca, --region, --service and --out");
    }
    r->days = r->days == 0 ? 1 : r->days;
    if (dom_pki_issue(r, serial, &err) != DOM_OK) {
        return failed(&err);
    }
    (void)puts(serial);
    return DOM_EXIT_OK;
}

static int revoke(struct args *args)
{
    struct dom_error err = {0};

    if (args->request.ca == NULL || args->serial == NULL) {
        return usage("revoke needs --ca and --serial");
    }
    return dom_pki_revoke(args->request.ca, args->serial, &err) == DOM_OK ? DOM_EXIT_OK
                                                                          : failed(&err);
}

static int show(const char *path)
{
    struct dom_error err = {0};
    struct dom_buffer out = {0};

    bool ok = dom_pki_show(path, &out, &err) == DOM_OK;
    if (ok) {
        (void)fwrite(out.data, 1, out.len, stdout);
    }
    dom_buffer_cleanup(&out);
    return ok ? DOM_EXIT_OK : failed(&err);
}

int dom_pki_command(int argc, char **argv)
{
    static const struct option options[] = {{"out", required_argument, NULL, OPT_OUT},
                                            {"trust-domain", required_argument, NULL, OPT_DOMAIN},
                                            {"ca", required_argument, NULL, OPT_CA},
                                            {"region", required_argument, NULL, OPT_REGION},
                                            {"service", required_argument, NULL, OPT_SERVICE},
                                            {"days", required_argument, NULL, OPT_DAYS},
                                            {"name", required_argument, NULL, OPT_NAME},
                                            {"serial", required_argument, NULL, OPT_SERIAL},
                                            {"help", no_argument, NULL, OPT_HELP},
                                            {NULL, 0, NULL, 0}};
    static struct args args;
    int option = 0;

    optind = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPT_HELP) {
            (void)fputs(s_help, stdout);
            return DOM_EXIT_OK;
        }
        if (!take_option(&args, option, optarg)) {
            return option == '?' ? DOM_EXIT_USAGE : usage("an option's value is not usable");
        }
    }
    const char *verb = optind < argc ? argv[optind] : "";
    int num_words = argc - optind - 1;
    if (strcmp(verb, "show") == 0) {
        return num_words == 1 ? show(argv[optind + 1]) : usage("show needs one FILE");
    }
    if (num_words > 0) {
        return usage("there are words too many");
    }
    if (strcmp(verb, "ca") == 0) {
        return make_ca(&args);
    }
    if (strcmp(verb, "issue") == 0) {
        return issue(&args);
    }
    if (strcmp(verb, "revoke") == 0) {
        return revoke(&args);
    }
    return usage("ca, issue, revoke or show is wanted");
}
