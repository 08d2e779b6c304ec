/* Every bound in the system, by name (promise P12). Bytes unless the name says otherwise.
 *
 * Each has a test at the limit and one beyond it. What a peer sends over a limit gets
 * RESOURCE_EXHAUSTED or INVALID_ARGUMENT with the field's path; what a file holds over a
 * limit gets a finding with its place. Depends on nothing.
 */
#ifndef DOM_BASE_LIMITS_H
#define DOM_BASE_LIMITS_H

/* On the wire. */
#define DOM_MESSAGE_BYTES_MAX (4U << 20)   /* one gRPC message, either way */
#define DOM_METADATA_BYTES_MAX (16U << 10) /* all headers of one call */
#define DOM_BATCH_KEYS_MAX 1000U           /* keys in one BatchGetRecords */
#define DOM_PAGE_RECORDS_MAX 1000U         /* records in one page of ListRecords */
#define DOM_PAGE_ENTRIES_MAX 1000U         /* entries in one message of ListEntries */
#define DOM_CONCURRENT_STREAMS_MAX 1024U   /* HTTP/2 streams of one connection */
#define DOM_IN_FLIGHT_CALLS_MAX 8192U      /* calls that the process works on at once */
#define DOM_REQUEST_ARENA_BYTES_MAX (16U << 20) /* memory of one request, decoded form included */

/* A record. */
#define DOM_RECORD_BYTES_MAX (1U << 20)
#define DOM_FIELDS_MAX 256U           /* fields of one record, and of one kind */
#define DOM_FIELD_NAME_BYTES_MAX 64U  /* [a-z][a-z0-9_]* */
#define DOM_ID_BYTES_MAX 512U         /* 1 to 512 bytes of valid UTF-8 */
#define DOM_REQUEST_ID_BYTES_MAX 64U
#define DOM_REQUEST_ID_TTL_SECONDS 86400U /* how long a retry finds its first answer */
/* What is over by the wall clock is kept for so long all the same: a clock that jumps ahead by less,
 * and back, has made nothing forgotten. */
#define DOM_CLOCK_SLACK_DAYS 7

#define DOM_TOMBSTONE_TTL_SECONDS (30U * 86400U) /* a deletion is remembered for at least this */

/* A policy. */
#define DOM_POLICY_FILE_BYTES_MAX (8U << 20)
#define DOM_POLICY_NESTING_MAX 16U
#define DOM_POLICY_NAME_BYTES_MAX 128U /* any identifier or short name in a policy */
#define DOM_REGIONS_MAX 64U
#define DOM_JURISDICTIONS_MAX 64U
#define DOM_GROUPS_MAX 256U
#define DOM_CLASSES_MAX 64U
#define DOM_PURPOSES_MAX 128U
#define DOM_SERVICES_MAX 1024U
#define DOM_KINDS_MAX 64U
#define DOM_BASES_MAX 512U
#define DOM_RULES_MAX 4096U
#define DOM_PLACEMENTS_MAX 1024U
#define DOM_OBLIGATIONS_MAX 16U /* of one rule */

/* The audit log. */
#define DOM_ENTRY_BYTES_MAX (16U << 10)  /* one entry; the tlog-tiles format allows 65,535 */
#define DOM_WITNESS_REGIONS_MAX 8U       /* other regions that cosign one log */
#define DOM_CHECKPOINT_DELAY_MS_MAX 1000U /* entry written to checkpoint signed */
#define DOM_AUDIT_RECENT_BYTES_MAX (16U << 20) /* entries of a log kept until they are on files */

#define DOM_AUDIT_WAIT_MS 200U           /* how long a caller waits for its entry, when not set */
#define DOM_AUDIT_WAIT_MS_MAX 60000U
#define DOM_WRITE_WAIT_MS 5000U          /* how long one waits for a write that needs no entry */
#define DOM_CHECKPOINT_OVERDUE_MS 30000U /* without a checkpoint for so long the log is closed */

#define DOM_SINKS_MAX 8U           /* second copies of one region's log */
#define DOM_SINK_CLAUSES_MAX 16U   /* "one of these sinks" that a policy may demand of one region */
#define DOM_SINK_BATCH_MAX 1024U   /* entries that a sink takes at once */

/* Queues of the store. */
#define DOM_COMMIT_QUEUE_MAX 16384U       /* commits waiting in one region */
#define DOM_COMMIT_GROUP_MAX 512U         /* commits that share one fsync */
#define DOM_COMMIT_GROUP_BYTES_MAX (8U << 20)
#define DOM_OUTBOX_MAX (1U << 20)         /* replication jobs that one region may owe */

#endif
