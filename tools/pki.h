/* A development CA: EC P-256 keys, certificates with a SPIFFE id, a revocation list. For one
 * machine and for tests; a real deployment has SPIRE or another CA, and the router takes its files
 * as they are.
 *
 * Folder of a CA: ca.pem, ca.key (0600), crl.pem. Folder of a certificate, SPIRE's names:
 * svid.pem, svid_key.pem (0600), bundle.pem. Thread contract: any thread.
 */
#ifndef DOM_TOOLS_PKI_H
#define DOM_TOOLS_PKI_H

#include "base/buffer.h"
#include "base/error.h"

#define DOM_PKI_SERIAL_SIZE 48U
#define DOM_PKI_DAYS_MAX 3650U
#define DOM_PKI_NAMES_MAX 16U

/* Errors: INVALID (trust domain, days), EXISTS (there is a CA in the folder), IO. */
enum dom_code dom_pki_make_ca(const char *folder, const char *trust_domain, unsigned days,
                              struct dom_error *err) DOM_MUST_USE;

struct dom_pki_request {
    const char *ca; /* folder */
    const char *region;
    const char *service;
    const char *out; /* folder, made when missing; files in it are replaced */
    unsigned days;
    const char *names[DOM_PKI_NAMES_MAX]; /* DNS names or addresses besides localhost, 127.0.0.1
                                           * and ::1: what a server is called */
    size_t num_names;
};

/* Errors: INVALID (a name), IO, PARSE (the CA's files). Writes the serial in hex. */
enum dom_code dom_pki_issue(const struct dom_pki_request *request,
                            char serial[DOM_PKI_SERIAL_SIZE], struct dom_error *err) DOM_MUST_USE;

/* Adds a serial (hex) to the CA's crl.pem, which is made anew and whole. Twice is fine. */
enum dom_code dom_pki_revoke(const char *ca, const char *serial,
                             struct dom_error *err) DOM_MUST_USE;

/* Appends what each certificate of the file says, for people. Errors: IO, PARSE. */
enum dom_code dom_pki_show(const char *path, struct dom_buffer *out,
                           struct dom_error *err) DOM_MUST_USE;

#endif
