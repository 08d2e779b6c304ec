#!/usr/bin/env node
// The services as a Node program meets them, through grpc-js: what a service engineer does first,
// and what it reads out of an error. Says so and passes unless `npm ci` was run in this folder.
//
//     clients_e2e.mjs [PART OF A CHECK'S NAME]
import {spawn} from 'node:child_process';
import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const api = join(here, '..', '..', 'router', 'api');
if (!existsSync(join(here, 'node_modules', '@grpc', 'grpc-js'))) {
  console.log('skipped: npm ci was not run in tests/e2e\n0 passed, 0 failed');
  process.exit(0);
}
const grpc = (await import('@grpc/grpc-js')).default;
const loader = (await import('@grpc/proto-loader')).default;
const {default: protobuf} = await import('protobufjs');

const options = {includeDirs: [api], longs: String, enums: String, oneofs: true, defaults: true};
const types = grpc.loadPackageDefinition(loader.loadSync([
  'domicile/v1/record.proto', 'domicile/v1/policy.proto', 'domicile/v1/audit.proto',
  'grpc/health/v1/health.proto'], options));
const root = new protobuf.Root();
root.resolvePath = (origin, target) => join(api, target);
root.loadSync(['google/rpc/status.proto', 'google/rpc/error_details.proto']
    .filter((name) => existsSync(join(api, name))));

// ---- the router, started through the harness; it ends with our end of the pipe ----

const server = spawn('/usr/bin/python3', [join(here, 'lib', 'serve.py'), 'clients'],
    {stdio: ['pipe', 'pipe', 'inherit']});
const ended = new Promise((resolve) => server.on('exit', resolve));
const address = await new Promise((resolve, reject) => {
  let text = '';
  server.stdout.on('data', (chunk) => {
    text += chunk;
    const found = /listening on (\S+)/.exec(text);
    if (found) resolve(found[1]);
  });
  server.on('exit', () => reject(new Error('the router did not start')));
});

const open = [];
const connect = (Type) => {
  const client = new Type(address, grpc.credentials.createInsecure());
  open.push(client);
  return client;
};
const records = connect(types.domicile.v1.RecordService);
const audit = connect(types.domicile.v1.AuditService);
const policy = connect(types.domicile.v1.PolicyService);
const health = connect(types.grpc.health.v1.Health);

const who = (service, region) => {
  const metadata = new grpc.Metadata();
  metadata.set('domicile-service', service);
  metadata.set('domicile-region', region);
  return metadata;
};
const rooms = who('room-service', 'eu-central-1');
const abroad = who('moderation', 'us-west-2');
const deadline = (ms = 20000) => ({deadline: Date.now() + ms});

const call = (client, method, request, metadata, ms) => new Promise((resolve, reject) =>
  client[method](request, metadata, deadline(ms),
      (error, answer) => error ? reject(error) : resolve(answer)));
const stream = (client, method, request, metadata) => new Promise((resolve, reject) => {
  const out = [];
  client[method](request, metadata, deadline()).on('data', (m) => out.push(m))
      .on('error', reject).on('end', () => resolve(out));
});
const errorOf = (promise) => promise.then(
    () => { throw new Error('it was expected to fail'); }, (error) => error);
const equal = (got, want, what = 'value') => {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) throw new Error(`${what} is ${a}, wanted ${b}`);
};
const truth = (condition, why) => { if (!condition) throw new Error(why); };

// The google.rpc details of an error, by the name of their type.
const detailsOf = (error) => {
  const raw = error.metadata.get('grpc-status-details-bin')[0];
  truth(raw, `no details in ${error.message}`);
  const status = root.lookupType('google.rpc.Status').decode(raw);
  equal(status.code, error.code, 'the code in the details');
  return Object.fromEntries(status.details.map((any) => {
    const name = any.type_url.split('/')[1];
    return [name, root.lookupType(name).decode(any.value)];
  }));
};
const text = (fields) => Object.entries(fields).map(([name, value]) => ({name, text: value}));
const room = {kind: 'live_room', home: 'DE', purpose: 'serve',
  fields: text({title: 'Abendgespräch', owner_id: 'u-1', ip: '198.51.100.7'})};
const {NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, CANCELLED,
  UNAUTHENTICATED} = grpc.status;

const checks = {
  'put and get': async () => {
    const put = await call(records, 'PutRecord', {...room, id: 'js-1'}, rooms);
    equal(put.homeRegion, 'eu-central-1', 'homeRegion');
    const got = await call(records, 'GetRecord', {kind: 'live_room', id: 'js-1', purpose: 'serve'},
        rooms);
    equal(got.record.fields.map((f) => [f.name, f.text]),
        room.fields.map((f) => [f.name, f.text]), 'fields');
    equal(got.record.version, put.version, 'version');
  },
  'versions and 64-bit integers are not cut': async () => {
    const big = '-9223372036854775808';
    await call(records, 'PutRecord', {...room, id: 'js-big',
      fields: [{name: 'viewer_count', integer: big}]}, rooms);
    const got = await call(records, 'GetRecord', {kind: 'live_room', id: 'js-big',
      purpose: 'serve'}, rooms);
    equal(got.record.fields[0].integer, big, 'integer');
  },
  'a read across a border: pseudonym, withheld fields, and a receipt that holds': async () => {
    await call(records, 'PutRecord', {...room, id: 'js-2'}, rooms);
    const got = await call(records, 'GetRecord', {kind: 'live_room', id: 'js-2', home: 'DE',
      purpose: 'moderation'}, abroad);
    const values = Object.fromEntries(got.record.fields.map((f) => [f.name, f.text]));
    equal(values.title, 'Abendgespräch', 'title');
    truth(values.owner_id && values.owner_id !== 'u-1', `owner_id is ${values.owner_id}`);
    equal(got.decision.handled.map((h) => [h.field, h.handling]).sort(),
        [['ip', 'HANDLING_REDACTED'], ['owner_id', 'HANDLING_PSEUDONYMISED']], 'handled');
    const pages = await stream(audit, 'ListEntries', {region: 'eu-central-1',
      fromIndex: got.receipt.index, entriesMax: 1}, rooms);
    const entry = pages[0].entries[0].entry;
    const leaf = createHash('sha256').update(Buffer.from([0])).update(entry).digest();
    equal(leaf.toString('hex'), got.receipt.leafHash.toString('hex'), 'leaf hash');
    equal(JSON.parse(entry).actor.region, 'us-west-2', 'actor.region');
  },
  'a denial: ErrorInfo says why': async () => {
    const error = await errorOf(call(records, 'GetRecord', {kind: 'live_room', id: 'js-2',
      home: 'DE', purpose: 'moderation', fields: ['ip']}, abroad));
    equal(error.code, PERMISSION_DENIED, 'code');
    const info = detailsOf(error)['google.rpc.ErrorInfo'];
    equal([info.domain, info.reason], ['domicile', 'NO_PERMIT'], 'ErrorInfo');
    equal([info.metadata.home, info.metadata.caller_region, info.metadata.policy],
        ['DE', 'us-west-2', 'global-live'], 'metadata');
  },
  'a bad field: BadRequest names its place': async () => {
    const error = await errorOf(call(records, 'PutRecord', {...room, id: 'js-3',
      fields: [...room.fields, {name: 'Bad', text: 'x'}]}, rooms));
    equal(error.code, INVALID_ARGUMENT, 'code');
    const bad = detailsOf(error)['google.rpc.BadRequest'];
    equal(bad.fieldViolations.map((v) => v.field), ['fields[3].name'], 'fields');
    truth(bad.fieldViolations[0].description.length > 0, 'no description');
  },
  'the home UK: the message names GB': async () => {
    const error = await errorOf(call(records, 'PutRecord', {...room, id: 'js-4', home: 'UK'},
        rooms));
    equal(error.code, INVALID_ARGUMENT, 'code');
    truth(error.details.includes('GB'), error.details);
  },
  'a version that nobody has: RetryInfo': async () => {
    const error = await errorOf(call(records, 'GetRecord', {kind: 'live_room', id: 'js-1',
      purpose: 'serve', freshness: {atLeastVersion: '999999'}}, rooms));
    equal(error.code, grpc.status.UNAVAILABLE, 'code');
    truth(detailsOf(error)['google.rpc.RetryInfo'].retryDelay, 'no delay');
  },
  'no record': async () => {
    const error = await errorOf(call(records, 'GetRecord', {kind: 'live_room', id: 'js-none',
      purpose: 'serve'}, rooms));
    equal(error.code, NOT_FOUND, 'code');
  },
  'nobody asks': async () => {
    for (const metadata of [new grpc.Metadata(), who('room-service', 'eu-central-9')]) {
      const error = await errorOf(call(records, 'GetRecord', {kind: 'live_room', id: 'js-1'},
          metadata));
      equal(error.code, UNAUTHENTICATED, 'code');
    }
  },
  'a batch of good and bad keys': async () => {
    const got = await call(records, 'BatchGetRecords', {purpose: 'serve', keys: [
      {kind: 'live_room', id: 'js-1'}, {kind: 'nonsense', id: 'js-1'},
      {kind: 'live_room', id: 'js-none'}]}, rooms);
    equal(got.results.map((r) => r.outcome === 'found' ? 0 : r.error.code),
        [0, INVALID_ARGUMENT, NOT_FOUND], 'outcomes');
  },
  'a list as a stream of pages': async () => {
    for (let n = 0; n < 25; n++) {
      await call(records, 'PutRecord', {...room, id: `js-list-${n}`, home: 'IT'}, rooms);
    }
    const pages = await stream(records, 'ListRecords', {kind: 'live_room', home: 'IT',
      purpose: 'serve', pageSize: 10}, rooms);
    equal(pages.map((p) => p.records.length), [10, 10, 5], 'page sizes');
    const ids = new Set(pages.flatMap((p) => p.records.map((r) => r.id)));
    equal(ids.size, 25, 'ids');
    equal(pages[2].nextPageToken, '', 'last token');
  },
  'a list left by its reader': async () => {
    await new Promise((resolve, reject) => {
      const pages = records.ListRecords({kind: 'live_room', home: 'IT', purpose: 'serve',
        pageSize: 1}, rooms, deadline());
      pages.on('data', () => pages.cancel()).on('end', () => reject(new Error('it ended')))
          .on('error', (e) => e.code === CANCELLED ? resolve() : reject(e));
    });
  },
  'a deadline that has passed': async () => {
    const error = await errorOf(call(records, 'GetRecord', {kind: 'live_room', id: 'js-1',
      purpose: 'serve'}, rooms, -1));
    equal(error.code, DEADLINE_EXCEEDED, 'code');
  },
  'two hundred calls at once on one connection': async () => {
    const got = await Promise.all(Array.from({length: 200}, (_, n) => call(records, 'PutRecord',
        {...room, id: `js-many-${n}`}, rooms)));
    equal(got.length, 200, 'answers');
  },
  'the policy in force, and an explanation of six lines': async () => {
    const status = await call(policy, 'GetPolicyStatus', {}, rooms);
    equal([status.name, status.version, status.regions], ['global-live', '1', 20], 'status');
    const told = await call(records, 'ExplainAccess', {op: 'read', kind: 'live_room', home: 'DE',
      purpose: 'moderation', fields: ['title', 'owner_id']}, abroad);
    equal(told.text.trimEnd().split('\n').length, 6, 'lines');
    equal(told.decision.effect, 'EFFECT_MODIFY', 'effect');
    JSON.parse(told.json);
  },
  'health: Check and Watch': async () => {
    const name = 'domicile.v1.RecordService/cross-border';
    const got = await call(health, 'Check', {service: name}, new grpc.Metadata());
    equal(got.status, 'SERVING', 'status');
    await new Promise((resolve, reject) => {
      const watch = health.Watch({service: name}, new grpc.Metadata(), deadline());
      watch.on('error', (e) => e.code === CANCELLED || reject(e)).on('data', (m) => {
        watch.cancel();
        return m.status === 'SERVING' ? resolve() : reject(new Error(m.status));
      });
    });
  },
};

let passed = 0;
let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  if (!name.includes(process.argv[2] ?? '')) continue;
  try {
    await check();
    passed++;
    console.log(`ok - grpc-js: ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok - grpc-js: ${name}: ${error.message}`);
  }
}
open.forEach((client) => client.close());
server.stdin.end();
if (await ended !== 0) {
  failed++;
  console.log('not ok - grpc-js: the router ended badly');
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
