// The grpc-js half of mtls_clients_e2e.py: answers on standard output, one JSON object a line, for
// each request on the command line.
//
//     mtls_client.mjs ADDRESS FOLDER METHOD JSON [CLAIMED_REGION]
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(here, '..', 'package.json'));
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const [address, folder, method, request, claimed] = process.argv.slice(2);
const api = join(here, '..', '..', '..', 'router', 'api');
const types = grpc.loadPackageDefinition(loader.loadSync(['domicile/v1/record.proto'],
    {includeDirs: [api], longs: String, enums: String, oneofs: true}));
const read = (name) => readFileSync(join(folder, name));
const credentials = address.startsWith('plain:') ? grpc.credentials.createInsecure() :
  grpc.credentials.createSsl(read('bundle.pem'), read('svid_key.pem'), read('svid.pem'));
const client = new types.domicile.v1.RecordService(address.replace('plain:', ''), credentials);
const metadata = new grpc.Metadata();
if (claimed) metadata.set('domicile-region', claimed);
client[method](JSON.parse(request), metadata, {deadline: Date.now() + 10000}, (error, answer) => {
  console.log(JSON.stringify(error ? {code: grpc.status[error.code], text: error.details} : answer));
  client.close();
});
