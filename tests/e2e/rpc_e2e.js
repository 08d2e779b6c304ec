'use strict';
// The grpc-js half of rpc_e2e.py:  node rpc_e2e.js ADDRESS API_FOLDER
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, api] = process.argv.slice(2);
const raw = (b) => b;
const client = new grpc.Client(address, grpc.credentials.createInsecure());
const path = (name) => '/test.v1.TestService/' + name;
const deadline = (ms = 20000) => ({deadline: Date.now() + ms});

const unary = (name, body, options = deadline()) => new Promise((resolve, reject) => {
  client.makeUnaryRequest(path(name), raw, raw, Buffer.from(body), new grpc.Metadata(), options,
      (error, value) => error ? reject(error) : resolve(value));
});

async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('the call was expected to fail');
}

function equal(got, want) {
  if (got !== want) {
    throw new Error(`got ${got}, want ${want}`);
  }
}

const checks = {
  'unary call': async () => equal((await unary('Echo', 'hello')).toString(), 'hello'),
  'unknown method': async () => equal((await errorOf(unary('Nope', 'x'))).code, 12),
  'deadline': async () => equal((await errorOf(unary('Hold', 'x', deadline(200)))).code, 4),
  'error details': async () => {
    const error = await errorOf(unary('Fail', 'x'));
    equal(error.code, 7);
    equal(error.details, 'Zug\u00e4nge verboten');
    const bytes = error.metadata.get('grpc-status-details-bin')[0];
    equal(bytes.includes('eu-users-stay') && bytes.includes('FORBIDDEN'), true);
  },
  'stream in order': () => new Promise((resolve, reject) => {
    let next = 0;
    const stream = client.makeServerStreamRequest(path('Count'), raw, raw, Buffer.from('200'),
        new grpc.Metadata(), deadline());
    stream.on('data', (m) => {
      if (Number(m.toString()) !== next++) {
        reject(new Error('out of order'));
      }
    });
    stream.on('error', reject);
    stream.on('end', () => next === 200 ? resolve() : reject(new Error(`${next} messages`)));
  }),
  'health by the loaded proto': () => new Promise((resolve, reject) => {
    const definition = loader.loadSync('grpc/health/v1/health.proto', {includeDirs: [api]});
    const Health = grpc.loadPackageDefinition(definition).grpc.health.v1.Health;
    const health = new Health(address, grpc.credentials.createInsecure());
    health.Check({service: ''}, deadline(), (error, answer) => {
      health.close();
      return error ? reject(error) : answer.status === 1 ? resolve() : reject(new Error(JSON.stringify(answer)));
    });
  }),
};

(async () => {
  for (const [name, run] of Object.entries(checks)) {
    try {
      await run();
      console.log(`ok grpc-js: ${name}`);
    } catch (error) {
      process.exitCode = 1;
      console.log(`FAIL grpc-js: ${name}: ${error.message}`);
    }
  }
  client.close();
})();
