/* domicile audit --help. */
#include <stdio.h>

#include "store/audit/filter.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

static const char s_help[] =
    "NAME\n"
    "    domicile audit - check, export, prove, report and follow audit logs\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile audit verify --log DIR [--key VKEY]... [--policy FILE] [--old CHECKPOINT]\n"
    "        [--skew MS] [--index]\n"
    "    domicile audit export --log DIR [--format F] [--from TIME] [--to TIME]\n"
    "        [--where KEY=VALUE]... [--first N] [--end N] [--out FILE] [--resume-after N]\n"
    "        [--manifest FILE [--sign-key FILE]]\n"
    "    domicile audit export --log-region REGION [WHO ASKS] [--purpose NAME] (the same)\n"
    "    domicile audit check-export FILE --manifest FILE --key VKEY...\n"
    "    domicile audit report (art30|dsp-202-1101|dsp-202-1104|matrix) --log DIR...\n"
    "        [--from TIME] [--to TIME] [--where KEY=VALUE]... [--format md|html|csv]\n"
    "        [--note TEXT]... [--out FILE | --check FILE]\n"
    "    domicile audit gap --log DIR [--log DIR]... [--max-gap MS] [--from TIME] [--to TIME]\n"
    "    domicile audit consistency --old CHECKPOINT [--new CHECKPOINT] --log DIR\n"
    "    domicile audit prove --log DIR (--index N | --id UUID) [--out FILE]\n"
    "        [--checkpoint newest|cosigned]\n"
    "    domicile audit check-proof FILE (--key VKEY | --policy FILE)\n"
    "    domicile audit watch --sign-key FILE --state DIR (--policy FILE | --key VKEY...)\n"
    "        [--listen ADDRESS:PORT]\n"
    "    domicile audit witness-key --name NAME --out FILE\n"
    "    domicile audit tail --log DIR [-n N] [--where KEY=VALUE]... [--follow]\n"
    "        [--subject KIND/ID --keys FILE] [--no-index]\n"
    "    domicile audit query --log DIR [--subject KIND/ID --keys FILE] [--where KEY=VALUE]...\n"
    "        [--from TIME] [--to TIME] [--first N] [--end N] [-n N] [--no-index]\n"
    "    domicile audit hash KIND/ID --keys FILE\n"
    "    domicile audit index --log DIR\n"
    "    domicile audit rotate-subject --keys FILE\n"
    "    domicile audit destroy-subject --keys FILE --epoch N\n"
    "\n";

/* In pieces: C promises no longer ones. */
static const char s_help_verbs[] =
    "DESCRIPTION\n"
    "    DIR is a region's published log, <data>/<region>/audit, or a copy of it. Nothing but\n"
    "    its files is read; the router need not run, but for export --log-region.\n"
    "\n"
    "    verify       hashes every entry again and compares every tile, the root, the signature\n"
    "                 and, with --old, the beginning of the log with a checkpoint kept earlier.\n"
    "    export       writes entries in a form for other tools, one row per entry; with\n"
    "                 --log-region out of a running router, whose log then has an entry of it.\n"
    "    check-export compares an export with its signed manifest: digest, rows, indexes; jsonl\n"
    "                 and cloudevents hold the entries, so these are hashed again as well. The\n"
    "                 log itself is not needed.\n"
    "    report       writes a register: art30 (GDPR Art. 30: transfers by purpose, recipient,\n"
    "                 countries, safeguards), dsp-202-1101 (28 CFR 202.1101: each transaction\n"
    "                 with a country of concern), dsp-202-1104 (28 CFR 202.1104: those that were\n"
    "                 refused), matrix (flows from country to country by class and purpose).\n"
    "                 The logs are verified first; each line names the log, the entries that\n"
    "                 back it and the checkpoint that they are under. --check FILE makes a report\n"
    "                 again at the sizes that it names, and compares.\n"
    "    gap          finds stretches of time without any entry; with several logs it tells what\n"
    "                 the others recorded meanwhile, and whether each region's log mirrors what\n"
    "                 the others say went to that region (--skew MS: the newest need not be yet).\n"
    "    consistency  proves that the log of --old is the beginning of that of --new (without\n"
    "                 --new: of the log's own checkpoint), from the log's tiles.\n"
    "    prove        writes a proof of one entry that anybody can check without the log.\n"
    "    check-proof  checks such a proof and prints its entry.\n"
    "    tail         prints the last entries that pass; with --follow also each new one, as\n"
    "                 soon as a checkpoint covers it.\n"
    "    query        prints the entries that pass, the oldest first. It reads only what DIR/index\n"
    "                 says may matter: --no-index reads all, verify --index checks the index.\n"
    "    hash         prints the name that a region's log has for a record or a person.\n"
    "    index        makes DIR/index, or what of it is missing or of another version; the router\n"
    "                 does so by itself.\n";

static const char s_help_options[] =
    "    watch        is a witness (C2SP tlog-witness): serves POST /add-checkpoint and cosigns\n"
    "                 what continues the last checkpoint that it cosigned of a log.\n"
    "    witness-key  makes the key of a witness and prints its public half.\n"
    "    rotate-subject   adds an epoch to the key by which the log names persons and records.\n"
    "    destroy-subject  destroys an older epoch: who its hashes name can never be told again.\n"
    "\n"
    "OPTIONS\n"
    "    --log DIR        the published log.\n"
    "    --key VKEY       a log's public key, name+id+base64; may be given several times.\n"
    "    --key-file FILE  such keys, one per line. Without any the key in DIR/vkey is used,\n"
    "                     which whoever changed the log could have changed too.\n"
    "    --policy FILE    a trust policy (C2SP tlog-policy): logs, witnesses, and the quorum of\n"
    "                     cosignatures without which verify and check-proof fail. Its logs'\n"
    "                     keys are used as those of --key are.\n"
    "    --old FILE       a checkpoint of this log that was kept elsewhere.\n"
    "    --checkpoint C   prove: what the proof ends in, the newest checkpoint or the one that\n"
    "                     outside witnesses cosigned. Without it the latter, if it covers the\n"
    "                     entry already.\n"
    "    --skew MS        how far entries' times may go backwards unreported; 60000.\n"
    "    --from, --to     times (2026-11-22 or 2026-11-22T10:00:00Z); --to is not included.\n"
    "    --first, --end   indexes; --end is not included.\n"
    "    --where K=V      an entry that says so. Several values of one key: any of them; several\n"
    "                     keys: all of them. Keys are listed below.\n"
    "    --subject S      what concerns this record or person: KIND/ID (with --keys) or the hash.\n"
    "    --keys FILE      a region's key file, <key_dir>/<region>.key; to be read by its owner\n"
    "                     only.\n"
    "    --index          (verify) also make the index again and compare.\n"
    "    --no-index       read every bundle.\n"
    "    --out FILE       instead of standard output.\n"
    "    --resume-after N goes on with FILE, an export that broke off, behind its row of index N;\n"
    "                     without --out the output begins behind that row, with no header.\n"
    "    --manifest FILE  says what was exported, with its SHA-256; --sign-key FILE signs it,\n"
    "                     once the log has been verified.\n"
    "    --note TEXT      report: a line of its head (md, html), for what is in no log, such as\n"
    "                     who the controller is.\n"
    "    --check FILE     report: was it made of these logs, with these options? Every line is.\n"
    "    --max-gap MS     the longest silence that is not told; 3600000.\n"
    "    --format F       export: jsonl, csv, ocsf, ecs, cef, cloudevents. report: md, html, csv.\n"
    "                     Others: text or json.\n"
    "    -n N             how many entries; tail: 10, query: all.\n"
    "    --epoch N        destroy-subject: which.\n"
    "    --rate BYTES     fsck, verify: bytes per second to read at most.\n"
    "    --listen A:P     watch: where; 127.0.0.1:7480.\n"
    "    --state DIR      watch: where it remembers the last checkpoints; never to be set back.\n"
    "    --name NAME      witness-key: the key's name, such as witness.example.com.\n"
    "    --follow         goes on until it is interrupted.\n"
    "    --help           prints this text.\n"
    "\n"
    "WHO ASKS (export --log-region)\n"
    "    --address, --cert, --tls-key, --ca, --server-name, --service, --region and the context\n"
    "    file, as for domicile record, whose --key is --tls-key here. The role `auditors` is\n"
    "    needed; from another jurisdiction also a permit, and --purpose NAME. --timeout-ms N:\n"
    "    for the whole; none without it. With --manifest the router reads all of the range;\n"
    "    with --sign-key each entry is proven to be under the log's checkpoint before anything\n"
    "    is signed. That no row was left out is then the router's word, unless the export is\n"
    "    all of the log up to some index: its root is computed.\n";

static const char s_help_status[] =
    "\n"
    "EXIT STATUS\n"
    "    0 sound, or done; 1 tampered (the first bad index and file are named), gaps found, or\n"
    "    failed; 3 usage; 4 refused by the router.\n";

int dom_audit_help(void)
{
    (void)fputs(s_help, stdout);
    (void)fputs(s_help_verbs, stdout);
    (void)fputs(s_help_options, stdout);
    (void)puts("\nKEYS OF --where");
    for (unsigned key = 0; key < DOM_EXPORT_KEY_COUNT; key++) {
        (void)printf("    %-16s %s\n", dom_export_key_name((enum dom_export_key)key),
                     dom_export_key_doc((enum dom_export_key)key));
    }
    (void)fputs(s_help_status, stdout);
    return DOM_EXIT_OK;
}
