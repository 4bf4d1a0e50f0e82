// One upload with a real tus-js-client: a scenario comes in as JSON (argv[2]), and what happened
// goes out as one JSON object per line, the last of which is {"event": "end", ...}.
//
// Scenario: {version: 4 | 5, endpoint, file, input: "buffer" | "file" | "stream", options,
//   urlStorage: path, resume: bool, at: {bytes: n, do: "die" | "halt" | "cut" | "terminate"}, terminate: url}
// `at` acts when the client has read n bytes of the file, so in the middle of a request and at the
// same place each time: "die" is kill -9, "halt" stops the whole process until a line on stdin,
// "cut" resets one of its connections, "terminate" is abort(true).
import { createRequire, syncBuiltinESMExports } from 'node:module';
import fs from 'node:fs';
import net from 'node:net';
import { Readable } from 'node:stream';

const scenario = JSON.parse(process.argv[2]);
const say = (event, more = {}) => fs.writeSync(1, JSON.stringify({ event, ...more }) + '\n');

const sockets = [];
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  sockets.push(this);
  return connect.apply(this, given);
};

const createReadStream = fs.createReadStream;
let read = 0;
let acted = false;
function act() {
  acted = true;
  say(scenario.at.do);
  if (scenario.at.do === 'die') process.kill(process.pid, 'SIGKILL');
  if (scenario.at.do === 'halt') fs.readSync(0, Buffer.alloc(1));
  if (scenario.at.do === 'cut') sockets.find((s) => s.bytesWritten > 100_000 && !s.destroyed).resetAndDestroy();
  if (scenario.at.do === 'terminate') terminate();
}
fs.createReadStream = (...given) => {
  const stream = createReadStream(...given);
  const push = stream.push;
  stream.push = function (piece, ...rest) {
    if (piece) read += piece.length;
    if (scenario.at && !acted && read >= scenario.at.bytes) act();
    return push.call(this, piece, ...rest);
  };
  return stream;
};
syncBuiltinESMExports();

const tus =
  scenario.version === 4
    ? createRequire(import.meta.url)('tus-js-client-4')
    : await import('tus-js-client-5');
const FileUrlStorage =
  scenario.version === 4
    ? tus.FileUrlStorage
    : (await import('tus-js-client-5/node/FileUrlStorage')).FileUrlStorage;

const requests = [];
const errors = [];
let successes = 0;

function end(outcome) {
  // A moment more, so that whatever a client does too much is seen as well.
  setTimeout(() => {
    say('end', { outcome, url: upload?.url ?? null, requests, errors, successes });
    process.exit(0);
  }, 50);
}

const options = {
  endpoint: scenario.endpoint,
  ...scenario.options,
  onBeforeRequest: (request) => {
    requests.push({ method: request.getMethod(), path: new URL(request.getURL()).pathname, status: 0 });
  },
  onAfterResponse: (request, response) => {
    const path = new URL(request.getURL()).pathname;
    const asked = requests.findLast((r) => r.method === request.getMethod() && r.path === path && !r.status);
    asked.status = response.getStatus();
  },
  onUploadUrlAvailable: () => say('url', { url: upload.url }),
  onChunkComplete: (size, offset) => say('chunk', { offset }),
  onSuccess: () => {
    successes += 1;
    end('success');
  },
  onError: (error) => {
    errors.push(String(error.message));
    end('error');
  },
};
if (scenario.urlStorage) options.urlStorage = new FileUrlStorage(scenario.urlStorage);

function input() {
  if (scenario.input === 'buffer') return fs.readFileSync(scenario.file);
  if (scenario.input === 'stream') return Readable.from(createReadStream(scenario.file), { objectMode: false });
  return createReadStream(scenario.file);
}

function terminate() {
  upload.abort(true).then(
    () => end('terminated'),
    (error) => options.onError(error),
  );
}

let upload = null;
if (scenario.terminate) {
  tus.Upload.terminate(scenario.terminate, options).then(() => end('terminated'), options.onError);
} else {
  upload = new tus.Upload(input(), options);
  if (scenario.resume) {
    const previous = await upload.findPreviousUploads();
    say('previous', { count: previous.length });
    if (previous.length) upload.resumeFromPreviousUpload(previous[0]);
  }
  upload.start();
}
