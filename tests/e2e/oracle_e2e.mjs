#!/usr/bin/env node
// The shipped policy, decided by somebody else: translated into Cedar, and 20,000 random requests put
// to Cedar's own evaluator, on dates at both sides of every basis. What Cedar answers is written down
// as the expectations of policy test files, which `domicile policy test` must meet to the last field.
//
// Nothing of our evaluator is used for the expectations: the text of the policy is read by a reader of
// its own (below), each rule becomes one Cedar policy, and Cedar decides which of them apply.
//
//     oracle_e2e.mjs [SEED]
import {spawnSync} from 'node:child_process';
import {existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
if (!existsSync(join(here, 'node_modules', '@cedar-policy', 'cedar-wasm'))) {
  console.log('skipped: the packages of tests/e2e are not installed\n0 passed, 0 failed');
  process.exit(0);
}
const cedar = await import('@cedar-policy/cedar-wasm/nodejs');
const seed = Number(process.argv[2] ?? 20261125);
const REQUESTS = Number(process.env.ORACLE_REQUESTS ?? 20000);
const CASES_PER_FILE = 2500;
const policyPath = join(root, 'policy', 'global-live', 'policy.cfg');

// ---- the policy's text as plain objects ----

function read(text) {
  const token = /\s+|#.*|\/\/.*|\/\*[^]*?\*\/|"((?:[^"\\]|\\.)*)"|(-?\d+(?:\.\d+)?)L*|([A-Za-z][\w-]*)|([={}()\[\];:,])/gy;
  const tokens = [];
  for (let at = 0; at < text.length; at = token.lastIndex) {
    token.lastIndex = at;
    const found = token.exec(text);
    if (!found) throw new Error(`no token at ${text.slice(at, at + 20)}`);
    const [, string, number, word, mark] = found;
    if (string !== undefined) tokens.push({value: JSON.parse(`"${string}"`)});
    else if (number !== undefined) tokens.push({value: Number(number)});
    else if (word !== undefined) tokens.push({word});
    else if (mark !== undefined) tokens.push({mark});
  }
  let next = 0;
  const is = (mark) => tokens[next]?.mark === mark;
  const take = (mark) => is(mark) && ++next;
  const settings = (end) => {
    const out = {};
    while (next < tokens.length && (end === undefined || !is(end))) {
      const name = tokens[next++].word;
      if (!take('=') && !take(':')) throw new Error(`no = after ${name}`);
      out[name] = value();
      take(';') || take(',');
    }
    next++;
    return out;
  };
  const value = () => {
    if (take('{')) return settings('}');
    if (take('(') || take('[')) {
      const out = [];
      while (!take(')') && !take(']')) {
        out.push(value());
        take(',');
      }
      return out;
    }
    const {value: scalar, word} = tokens[next++];
    return word === undefined ? scalar : word === 'true';
  };
  return settings();
}

const policy = read(readFileSync(policyPath, 'utf8'));
const list = (names) => (names === undefined ? ['*'] : [].concat(names));
const day = 86400000;
const start = (basis) => Date.parse(basis.from);
const end = (basis) => (basis.until ? Date.parse(basis.until) + day : Number.MAX_SAFE_INTEGER);

// ---- the translation ----

// A country is an entity that is in its jurisdiction, in every group that names it or its
// jurisdiction, and in All. What no jurisdiction lists is in nothing. A name in a rule is a
// jurisdiction, a group or a country; "US" is the jurisdiction, which has more countries than one.
const lawOf = new Map();
for (const [law, {countries}] of Object.entries(policy.jurisdictions)) {
  for (const country of countries) lawOf.set(country, law);
}
const place = (name) => name === '*' ? {type: 'All', id: '*'}
  : policy.jurisdictions[name] ? {type: 'Law', id: name}
  : policy.groups[name] ? {type: 'Group', id: name} : {type: 'Country', id: name};
const groupsOf = (wanted) => Object.entries(policy.groups)
    .filter(([, members]) => members.some((name) => place(name).type === wanted.type &&
                                                   name === wanted.id))
    .map(([group]) => place(group));
function entitiesOf(country) {
  const uid = {type: 'Country', id: country};
  const law = lawOf.get(country);
  if (law === undefined) return [{uid, attrs: {law: ''}, parents: []}];
  return [{uid, attrs: {law}, parents: [place('*'), place(law), ...groupsOf(uid)]},
    {uid: place(law), attrs: {}, parents: groupsOf(place(law))}];
}

const quote = (text) => JSON.stringify(text);
const among = (names, of) =>
  names.includes('*') ? 'true' : `[${names.map(quote).join(', ')}].contains(${of})`;
const within = (names, of) =>
  `(${names.map((name) => `${of} in ${place(name).type}::${quote(name)}`).join(' || ')})`;
const ops = (names) => among(names, 'context.op');

function basisHolds(name) {
  if (name === undefined || name === 'not_personal') return 'true';
  if (name === 'home_return') return 'context.home.law == context.to.law';
  return `context.time >= ${start(policy.bases[name])} && context.time < ${end(policy.bases[name])}`;
}

const policies = {};
for (const rule of policy.rules) {
  policies[rule.id] = `@id(${quote(rule.id)})
${rule.effect}(principal, action, resource) when {
  ${ops(list(rule.ops))} && ${within(list(rule.home), 'context.home')} &&
  ${within(list(rule.to), 'context.to')} && ${among(list(rule.kinds), 'context.kind')} &&
  ${among(list(rule.classes), 'context.class')} && ${among(list(rule.purposes), 'context.purpose')} &&
  ${among(list(rule.services), 'context.service')} &&
  ${basisHolds(rule.basis)} && context.crosses };`;
}
// Inside one jurisdiction only the services section is asked.
policies['#inside'] = 'permit(principal, action, resource) when { !context.crosses };';
policies['#services'] = `forbid(principal, action, resource) unless { ${
  Object.entries(policy.services).map(([name, service]) =>
    `(context.service == ${quote(name)} && ${among(list(service.kinds), 'context.kind')} && ${
      ops(list(service.ops))} && (${among(list(service.purposes), 'context.purpose')} ||
      (context.purpose == "" && !context.crosses)))`).join(' ||\n')} };`;
policies['#known'] = `forbid(principal, action, resource) unless {
  context.home in All::"*" && context.to in All::"*" };`;
policies['#expired'] = `forbid(principal, action, resource) when {
  context.crosses && context.time >= ${Date.parse(policy.policy.expires)} };`;

const parsed = cedar.preparsePolicySet('policy', {staticPolicies: policies});
if (parsed.type !== 'success') throw new Error(JSON.stringify(parsed.errors));

// ---- what Cedar says of one request ----

const cached = new Map();
const places = (country) => {
  if (!cached.has(country)) cached.set(country, entitiesOf(country));
  return cached.get(country);
};
function ask(request, dataClass) {
  const entities = new Map();
  for (const entity of [...places(request.home), ...places(request.to)]) {
    entities.set(entity.uid.type + entity.uid.id, entity);
  }
  const answer = cedar.statefulIsAuthorized({
    principal: {type: 'Service', id: request.service},
    action: {type: 'Action', id: request.op},
    resource: {type: 'Data', id: dataClass},
    context: {op: request.op, service: request.service, purpose: request.purpose,
      kind: request.kind, class: dataClass, time: request.time, crosses: request.crosses,
      home: {__entity: {type: 'Country', id: request.home}},
      to: {__entity: {type: 'Country', id: request.to}}},
    preparsedPolicySetId: 'policy',
    entities: [...entities.values()],
  });
  if (answer.type !== 'success') throw new Error(JSON.stringify(answer.errors));
  if (answer.response.diagnostics.errors.length > 0) {
    throw new Error(JSON.stringify(answer.response.diagnostics.errors));
  }
  return {allowed: answer.response.decision === 'allow', by: answer.response.diagnostics.reason};
}

// Of the permits that apply the strongest obligation counts.
const strength = ['clear', 'pseudonymise', 'redact', 'withhold'];
function handling(dataClass, ruleIds) {
  let found = 0;
  for (const rule of policy.rules.filter(({id}) => ruleIds.includes(id))) {
    for (const {do: what, classes} of rule.obligations ?? []) {
      const covers = classes === undefined || classes.includes(dataClass);
      if (covers) found = Math.max(found, strength.indexOf(what));
    }
  }
  return strength[found];
}

// uncovered_field = "redact": what may not pass is emptied, if anything passes at all. A write or a
// deletion happens whole or not at all, and a write unchanged.
function expectation(request) {
  const classOf = policy.kinds[request.kind].fields;
  const out = {clear: [], redact: [], pseudonymise: [], withheld: []};
  const verdicts = new Map();
  for (const field of request.fields) {
    const dataClass = classOf[field];
    if (!verdicts.has(dataClass)) {
      const {allowed, by} = ask(request, dataClass);
      if (allowed) by.forEach((id) => decided.add(id));
      verdicts.set(dataClass, allowed ? handling(dataClass, by) : 'denied');
    }
  }
  const all = [...verdicts.values()];
  const whole = request.op === 'write' || request.op === 'delete';
  const passes = !whole ? all.some((v) => v !== 'denied' && v !== 'withhold')
    : all.every((v) => v !== 'denied' && (request.op === 'delete' || v === 'clear'));
  if (!passes) return {effect: 'deny'};
  for (const field of request.fields) {
    const verdict = whole ? 'clear' : verdicts.get(classOf[field]);
    out[{denied: 'redact', withhold: 'withheld'}[verdict] ?? verdict].push(field);
  }
  return {effect: out.clear.length === request.fields.length ? 'allow' : 'modify', ...out};
}

// ---- random requests ----

let state = BigInt(seed);
function random(below) {
  state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
  return Number((state >> 33n) % BigInt(below));
}
const pick = (from) => from[random(from.length)];

// The last second before, and the first of: each day on which a basis begins or has ended, and the
// policy's own end.
const edges = [Date.parse(policy.policy.expires)];
for (const basis of Object.values(policy.bases)) {
  edges.push(start(basis));
  if (basis.until) edges.push(end(basis));
}
const moments = edges.flatMap((edge) => [edge - 1000, edge]);
const services = Object.keys(policy.services);
const countries = [...lawOf.keys()];
const homes = ['DE', 'SE', 'FR', 'GB', 'CH', 'US', 'CA', 'BR', 'SG', 'JP', 'KR', 'AU', 'IN', 'CN', 'ID'];
const allPurposes = Object.keys(policy.purposes);
const allKinds = Object.keys(policy.kinds);

// Half of the requests are built from a rule, so that they touch it: few of the others would.
function randomRequest(number) {
  const rule = number % 2 === 0 ? pick(policy.rules) : {};
  const of = (names, all) => {
    const some = list(names).filter((name) => name !== '*');
    return some.length > 0 && random(8) > 0 ? pick(some) : pick(all);
  };
  const country = (names) => {
    const some = list(names).filter((n) => n !== '*')
        .flatMap((n) => policy.groups[n] ?? [n])
        .flatMap((n) => policy.jurisdictions[n]?.countries ?? [n]);
    return some.length > 0 && random(8) > 0 ? pick(some) : pick(random(2) ? homes : countries);
  };
  const service = of(rule.services, services);
  const kind = of(rule.kinds ?? policy.services[service].kinds, allKinds);
  const purpose = random(30) === 0 ? '' : of(rule.purposes ?? policy.services[service].purposes,
      allPurposes);
  const fields = Object.keys(policy.kinds[kind].fields);
  const wanted = new Set();
  for (let n = 1 + random(4); n > 0; n--) wanted.add(pick(fields));
  const basis = policy.bases[rule.basis];
  const own = basis ? [start(basis) - 1000, start(basis)] : [];
  if (basis?.until) own.push(end(basis) - 1000, end(basis));
  const home = country(rule.home);
  const to = rule.basis === 'home_return' && random(4) > 0 ? home : country(rule.to);
  // Mostly the home serves; data that lies elsewhere comes from there.
  const serves = rule.basis === 'home_return' || random(8) === 0 ? pick(homes) : home;
  return {op: of(rule.ops, ['read', 'list', 'write', 'delete']), service, purpose, kind, home, to,
    serves, crosses: lawOf.get(serves) !== lawOf.get(to), fields: [...wanted],
    time: random(3) === 0 ? Date.parse('2026-11-22') : pick(own.length > 0 && random(2) ? own : moments)};
}

// ---- the test files ----

const names = (fields) => `(${fields.map(quote).join(', ')})`;
function caseText(number, request, expect) {
  const date = new Date(request.time).toISOString().replace('.000Z', 'Z');
  const detail = expect.effect === 'deny' ? ''
    : ` clear = ${names(expect.clear)}; redact = ${names(expect.redact)};
      pseudonymise = ${names(expect.pseudonymise)}; withheld = ${names(expect.withheld)};`;
  return `  { name = "oracle ${number}"; why = "Cedar"; op = "${request.op}"; service = "${
    request.service}"; kind = "${request.kind}";${
    request.purpose === '' ? '' : ` purpose = "${request.purpose}";`}
    home = "${request.home}"; serves = "${request.serves}"; caller = "${request.to}"; date = "${date}";
    fields = ${names(request.fields)};
    expect = { effect = "${expect.effect}";${detail} }; }`;
}

const binary = process.env.DOMICILE_BIN ?? join(root, 'bazel-bin', 'tools', 'domicile');
const scratch = mkdtempSync(join(tmpdir(), 'domicile-oracle-'));
const effects = {allow: 0, deny: 0, modify: 0};
const decided = new Set();
const dates = new Set();
let passed = 0;
let failed = 0;
try {
  writeFileSync(join(scratch, 'policy.cfg'), readFileSync(policyPath));
  for (let first = 0; first < REQUESTS; first += CASES_PER_FILE) {
    const cases = [];
    for (let number = first; number < first + CASES_PER_FILE; number++) {
      const request = randomRequest(number);
      const expect = expectation(request);
      effects[expect.effect]++;
      dates.add(request.time);
      cases.push(caseText(number, request, expect));
    }
    const file = join(scratch, `${first}_test.cfg`);
    writeFileSync(file, `policy = "policy.cfg";\ncases = (\n${cases.join(',\n')}\n);\n`);
    const done = spawnSync(binary, ['policy', 'test', file, '--format', 'json'],
        {encoding: 'utf8', maxBuffer: 1 << 28});
    if (done.error) throw done.error;
    if (done.status > 1 || done.stdout === '') throw new Error(done.stderr);
    const told = JSON.parse(done.stdout);
    passed += told.passed;
    failed += told.cases.length - told.passed;
    for (const one of told.cases.filter((c) => !c.passed).slice(0, 3)) {
      console.log(`not ok - ${one.name}: ${one.detail}${cases[one.name.slice(7) - first]}`);
    }
  }
} finally {
  rmSync(scratch, {recursive: true, force: true});
}

// The requests must have been worth asking.
const permits = policy.rules.filter(({effect}) => effect === 'permit').map(({id}) => id);
const unused = permits.filter((id) => !decided.has(id));
const missed = moments.filter((moment) => !dates.has(moment));
const checks = {
  [`Cedar ${cedar.getCedarVersion()} and the policy agree on ${passed} of ${REQUESTS} requests`]:
      failed === 0 && passed === REQUESTS,
  [`effects ${JSON.stringify(effects)}: not all of one sort`]: Math.min(...Object.values(effects)) > 500,
  [`every permit decided something (not: ${unused})`]: unused.length === 0,
  [`both sides of every date were asked (not: ${missed.length})`]: missed.length === 0,
};
let good = 0;
for (const [name, ok] of Object.entries(checks)) {
  console.log(`${ok ? 'ok' : 'not ok'} - ${name}`);
  good += ok ? 1 : 0;
}
console.log(`${good} passed, ${Object.keys(checks).length - good} failed`);
process.exit(good === Object.keys(checks).length ? 0 : 1);
