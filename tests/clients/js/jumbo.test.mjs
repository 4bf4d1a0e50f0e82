// JumboUploader by itself, in Node: limits, delays, races, and servers that no real one is like.
//
// `Toy` is a server of a few lines behind `fetch`; what a test wants otherwise it overrides. The
// real server and the real browser are in test_jumbo_uploader.py.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { JumboError, JumboUploader, Slots, backoff } from '../../../tusjumbo/web/pages/jumbo.js';

const ENDPOINT = 'http://server.test/upload';
const CHUNK = 10;
const never = new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));
const json = (body, status = 200, headers = {}) => new Response(JSON.stringify(body), { status, headers });
const refused = (status, headers = {}, problem = {}) => json({ title: 'No', ...problem }, status, headers);

class Toy {
  uploads = new Map();
  asked = [];

  /** What `fetch` does. */
  handle = async (url, { method, body, headers, signal }) => {
    const path = url.slice(ENDPOINT.length);
    this.asked.push(`${method} ${path}`);
    await turn();
    signal?.throwIfAborted();
    return this.answer(method, path, body, headers);
  };

  async answer(method, path, body) {
    if (path === '/start') return this.start(JSON.parse(body));
    const [, kind, id, number] = path.match(/^\/(?:(status|resume)\/)?(\w+)(?:\/chunks\/(\d+))?$/);
    const upload = this.uploads.get(id);
    if (!upload) return refused(404);
    if (method === 'DELETE') return json({ status: this.uploads.delete(id) && 'cancelled' });
    if (kind === 'resume') return json(this.resumed(upload));
    if (method === 'PUT') upload.chunks.set(Number(number), Buffer.from(await new Response(body).arrayBuffer()));
    return json(this.progress(upload));
  }

  start(told) {
    const id = `id${this.uploads.size}`;
    const upload = { id, told, count: Math.ceil(told.size / CHUNK), chunks: new Map() };
    this.uploads.set(id, upload);
    return json({ upload_id: id, chunk_size: CHUNK, total_chunks: upload.count, ...(told.size ? {} : this.progress(upload)) }, 201);
  }

  progress({ told, count, chunks }) {
    if (chunks.size < count) return { status: 'uploading' };
    return { status: 'completed', path: told.filename, size: told.size, duration: 0 };
  }

  resumed(upload) {
    const { told, count, chunks } = upload;
    const needed = [...Array(count).keys()].filter((number) => !chunks.has(number));
    const stored = [...chunks.values()].reduce((sum, chunk) => sum + chunk.length, 0);
    return {
      status: 'uploading',
      chunks_needed: needed,
      chunk_size: CHUNK,
      total_chunks: count,
      total_size: told.size,
      progress: (100 * stored) / told.size,
      ...(needed.length ? {} : this.progress(upload)),
    };
  }

  content(id = 'id0') {
    const { chunks } = this.uploads.get(id);
    return Buffer.concat([...chunks].sort(([a], [b]) => a - b).map(([, chunk]) => chunk)).toString();
  }

  /** The numbers of the chunks that were sent; which of those side by side is first is chance. */
  puts() {
    const lines = this.asked.filter((line) => line.startsWith('PUT'));
    return lines.map((line) => Number(line.split('/').pop())).sort((a, b) => a - b);
  }
}

/** localStorage's methods. */
class Kept extends Map {
  getItem = (key) => this.get(key) ?? null;
  setItem = (key, value) => void this.set(key, value);
  removeItem = (key) => void this.delete(key);
}

let toy;
let storage;

beforeEach(() => {
  toy = new Toy();
  storage = new Kept();
  mock.method(globalThis, 'fetch', (...given) => toy.handle(...given));
});
afterEach(() => {
  mock.reset();
  mock.timers.reset();
});

const text = (length) => Array.from({ length }, (_, at) => String.fromCharCode(97 + (at % 23))).join('');
const file = (length, name = 'a.txt') => new File([text(length)], name, { type: 'text/plain', lastModified: 7 });
const uploader = (options = {}) => new JumboUploader({ endpoint: ENDPOINT, delay: 0, storage, ...options });

function listen(target, ...types) {
  const heard = [];
  for (const type of types) target.addEventListener(type, (event) => heard.push({ type, ...event.detail }));
  return heard;
}

describe('backoff', () => {
  const limits = { delay: 500, maxDelay: 30_000 };
  const most = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
  for (const [attempt, longest] of most.entries()) {
    test(`before retry ${attempt} it is 0 to ${longest}`, () => {
      assert.equal(backoff(attempt, limits, null, () => 0), 0);
      assert.equal(backoff(attempt, limits, null, () => 0.5), longest / 2);
      assert.equal(backoff(attempt, limits, null, () => 1), longest);
    });
  }
  test('chance decides', () => {
    const delays = new Set(Array.from({ length: 50 }, () => backoff(9, limits)));
    assert.ok(delays.size > 40 && Math.max(...delays) < 30_000);
  });
  test('the server is not asked sooner than it wishes', () => {
    assert.equal(backoff(0, limits, 7000, () => 0), 7000);
    assert.equal(backoff(0, limits, 7000, () => 1), 7500);
  });
  test('a timer does not overflow', () => {
    assert.equal(backoff(2000, limits, 1e15), 2 ** 31 - 1);
  });
});

describe('JumboError', () => {
  const passing = [0, 408, 423, 425, 429, 500, 502, 503, 504, 520, 599];
  const final = [200, 400, 401, 403, 404, 405, 409, 410, 411, 412, 413, 415, 416, 422, 428, 431, 451, 501, 505, 507, 511];
  for (const status of passing) test(`${status} passes`, () => assert.ok(new JumboError({ status }).passes));
  for (const status of final) test(`${status} stays`, () => assert.ok(!new JumboError({ status }).passes));
  test('damaged bytes are sent again', () => {
    assert.ok(new JumboError({ status: 400, type: 'urn:tusjumbo:problem:digest-mismatch' }).passes);
  });
  test('it says what the problem document says', () => {
    const problem = { status: 403, type: 'urn:x', title: 'Forbidden', detail: 'Not you.', more: 1 };
    const { message, status, type, title, detail, problem: whole } = new JumboError(problem);
    assert.deepEqual([message, status, type, title, detail], ['Not you.', 403, 'urn:x', 'Forbidden', 'Not you.']);
    assert.equal(whole, problem);
    assert.equal(new JumboError({ status: 403, title: 'Forbidden' }).message, 'Forbidden');
    assert.match(new JumboError({ status: 403 }).message, /403/);
  });
  const wishes = [['7', 7000], [' 0 ', 0], ['Mon, 01 Jan 2001 00:00:07 GMT', 7000], ['Sun, 31 Dec 2000 00:00:00 GMT', 0], ['soon', null], ['', 0], ['-1', 0], ['1.5', 1500]];
  for (const [text, wish] of wishes) {
    test(`Retry-After: ${JSON.stringify(text)}`, () => {
      mock.timers.enable({ apis: ['Date'], now: Date.UTC(2001, 0, 1) });
      const { retryAfter } = new JumboError({ status: 503 }, text);
      assert.equal(retryAfter, wish);
    });
  }
});

describe('Slots', () => {
  test('no more than so many, and the lowest rank is next', async () => {
    const slots = new Slots(2);
    const order = [];
    const give = [await slots.take(5, never), await slots.take(5, never)];
    const waiting = [7, 3, 5, 3].map(async (rank, at) => {
      give.push(await slots.take(rank, never));
      order.push([rank, at]);
    });
    await turn();
    assert.deepEqual(order, []);
    for (let each = 0; each < 4; each += 1) {
      give[each]();
      await turn();
      assert.equal(order.length, each + 1);
    }
    await Promise.all(waiting);
    assert.deepEqual(order, [[3, 1], [3, 3], [5, 2], [7, 0]]);
  });
  test('who goes away is not waited for', async () => {
    const slots = new Slots(1);
    const give = await slots.take(0, never);
    const going = new AbortController();
    const gone = slots.take(0, going.signal);
    const next = slots.take(1, never);
    going.abort(new Error('away'));
    await assert.rejects(gone, /away/);
    give();
    (await next)();
    (await slots.take(2, never))();
  });
  test('who is away already does not wait', async () => {
    const slots = new Slots(1);
    await slots.take(0, never);
    await assert.rejects(slots.take(0, AbortSignal.abort(new Error('away'))), /away/);
  });
});

describe('an upload', () => {
  for (const size of [0, 1, CHUNK, 3 * CHUNK, 3 * CHUNK + 1]) {
    test(`of ${size} bytes`, async () => {
      const upload = uploader().add(file(size));
      const progress = listen(upload, 'progress');
      const result = await upload.done;
      assert.deepEqual([result.status, result.path, result.size], ['completed', 'a.txt', size]);
      assert.equal(toy.content(), text(size));
      assert.deepEqual([upload.state, upload.progress.percent, upload.progress.remaining], ['done', 100, 0]);
      assert.equal(progress.at(-1).sent, size);
      assert.equal(storage.size, 0);
    });
  }
  test('tells what it is', async () => {
    const told = (given, options) => {
      const { name, metadata } = uploader(options).add(file(1), given);
      return [name, metadata];
    };
    assert.deepEqual(told(), ['a.txt', { type: 'text/plain' }]);
    assert.deepEqual(told({ name: 'b', metadata: { album: 2 } }, { metadata: { album: 1, owner: 'x' } }), ['b', { type: 'text/plain', album: 2, owner: 'x' }]);
    assert.deepEqual(told({}, { metadata: ({ size }) => ({ size }) }), ['a.txt', { type: 'text/plain', size: 1 }]);
    const upload = uploader({ chunkSize: 77 }).add(new Blob(['x']), { metadata: { a: 1 } });
    await upload.done;
    assert.deepEqual(toy.uploads.get(upload.id).told, { filename: 'blob', size: 1, metadata: { a: 1 }, chunk_size: 77 });
  });
  test('is known again by its file, and a blob by nothing', async () => {
    toy.answer = async (method, path, body) => (method === 'PUT' ? refused(403) : Toy.prototype.answer.call(toy, method, path, body));
    await assert.rejects(uploader().add(file(1)).done);
    assert.deepEqual([...storage], [[`jumbo:${JSON.stringify([ENDPOINT, 'a.txt', 1, 7, 'text/plain'])}`, 'id0']]);
    await assert.rejects(uploader().add(new Blob(['x'])).done);
    assert.equal(storage.size, 1);
  });
  test('goes on without a storage that works', async () => {
    const broken = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
    const upload = uploader({ storage: { getItem: broken, setItem: broken, removeItem: broken } }).add(file(25));
    await upload.done;
    assert.equal(toy.content(), text(25));
  });
  test('goes on with a storage and a fingerprint that take their time', async () => {
    const slow = { getItem: async () => 'id0', setItem: async () => {}, removeItem: async () => {} };
    toy.start({ filename: 'a', size: 25 });
    const upload = uploader({ storage: slow, fingerprint: async () => 'x' }).add(file(25));
    await upload.done;
    assert.equal(toy.content(), text(25));
    assert.equal(toy.asked[0], 'GET /resume/id0');
  });
  for (const [files, limits, most] of [
    [1, { parallel: 2 }, 2],
    [1, { parallel: 4, connections: 3 }, 3],
    [3, { parallel: 2, connections: 5 }, 5],
    [3, { parallel: 2, connections: 9 }, 6],
  ]) {
    test(`keeps to ${JSON.stringify(limits)} with ${files} files`, async () => {
      const all = uploader(limits);
      const answer = toy.answer;
      let now = 0;
      let reached = 0;
      toy.answer = async (method, ...given) => {
        if (method !== 'PUT') return answer.call(toy, method, ...given);
        reached = Math.max(reached, ++now);
        while (reached < most) await turn();
        await turn();
        now -= 1;
        return answer.call(toy, method, ...given);
      };
      all.add(Array.from({ length: files }, (_, at) => file(95, `${at}`)));
      await all.done;
      assert.equal(reached, most);
    });
  }
  test('reads no more of a file than it sends', async () => {
    let live = 0;
    let most = 0;
    class Counted extends Blob {
      slice(...range) {
        const part = super.slice(...range);
        part.arrayBuffer = async () => {
          live += part.size;
          most = Math.max(most, live);
          return Blob.prototype.arrayBuffer.call(part);
        };
        return part;
      }
    }
    const answer = toy.answer;
    toy.answer = async (method, path, body) => {
      if (method === 'PUT') live -= body.size;
      return answer.call(toy, method, path, body);
    };
    await uploader({ parallel: 3 }).add(new Counted([text(305)])).done;
    assert.equal(most, 3 * CHUNK);
    assert.equal(live, 0);
    assert.equal(toy.content(), text(305));
  });
  test('asks for its headers before each request', async () => {
    const tokens = [];
    toy.answer = async (method, path, body, headers) => {
      tokens.push(headers.Authorization);
      if (tokens.length === 2) return refused(503);
      return Toy.prototype.answer.call(toy, method, path, body);
    };
    let count = 0;
    await uploader({ headers: async (upload) => ({ Authorization: `${upload.name} ${(count += 1)}` }) }).add(file(5)).done;
    assert.deepEqual(tokens, ['a.txt 1', 'a.txt 2', 'a.txt 3']);
    tokens.length = 0;
    await uploader({ headers: { Authorization: 'x' } }).add(file(0)).done;
    assert.deepEqual(tokens, ['x']);
  });
  test('fails with what its headers fail with', async () => {
    const headers = () => {
      throw new Error('no token');
    };
    await assert.rejects(uploader({ headers }).add(file(5)).done, /no token/);
    assert.deepEqual(toy.asked, []);
  });
  test('fails if its file cannot be read any more', async () => {
    const gone = file(5);
    gone.slice = () => ({ size: 5, arrayBuffer: async () => Promise.reject(new DOMException('gone', 'NotReadableError')) });
    const upload = uploader({ shouldRetry: () => true }).add(gone);
    const retries = listen(upload, 'retry');
    await assert.rejects(upload.done, { name: 'NotReadableError' });
    assert.deepEqual(retries, []);
  });
});

describe('what passes', () => {
  const failing = (times, status, headers) => {
    const answer = toy.answer;
    toy.answer = async (method, ...given) => {
      if (method === 'PUT' && times-- > 0) return refused(status, headers);
      return answer.call(toy, method, ...given);
    };
  };
  test('is tried so often, and then not any more', async () => {
    failing(Infinity, 503);
    const upload = uploader({ retries: 4 }).add(file(5));
    const heard = listen(upload, 'retry', 'error');
    await assert.rejects(upload.done, { name: 'JumboError', status: 503 });
    assert.deepEqual(heard.map(({ type, attempt }) => [type, attempt]), [['retry', 0], ['retry', 1], ['retry', 2], ['retry', 3], ['error', undefined]]);
    assert.equal(toy.puts().length, 5);
  });
  test('waits for its time', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    mock.method(Math, 'random', () => 0.5);
    failing(3, 503);
    const upload = uploader({ delay: 1000, maxDelay: 3000 }).add(file(5));
    const retries = listen(upload, 'retry');
    const settled = async (count) => {
      while (retries.length < count) await turn();
    };
    for (const [at, delay] of [500, 1000, 1500].entries()) {
      await settled(at + 1);
      assert.equal(retries[at].delay, delay);
      mock.timers.tick(delay - 1);
      for (let turns = 0; turns < 20; turns += 1) await turn();
      assert.equal(toy.puts().length, at + 1);
      mock.timers.tick(1);
    }
    await upload.done;
  });
  test('waits as long as the server wishes', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    failing(1, 429, { 'Retry-After': '60' });
    const upload = uploader().add(file(5));
    const retries = listen(upload, 'retry');
    while (!retries.length) await turn();
    assert.equal(retries[0].delay, 60_000);
    mock.timers.tick(60_000);
    await upload.done;
  });
  test('is what the page says', async () => {
    failing(1, 401);
    const asked = [];
    const shouldRetry = (error, attempt) => asked.push([error.status, attempt]) > 0;
    await uploader({ shouldRetry }).add(file(5)).done;
    assert.deepEqual(asked, [[401, 0]]);
    failing(1, 503);
    await assert.rejects(uploader({ shouldRetry: () => false }).add(file(5, 'b')).done, { status: 503 });
  });
  test('is a broken connection', async () => {
    const handle = toy.handle;
    let times = 2;
    toy.handle = async (...given) => (times-- > 0 ? Promise.reject(new TypeError('fetch failed')) : handle(...given));
    await uploader().add(file(5)).done;
    times = Infinity;
    await assert.rejects(uploader({ retries: 1 }).add(file(5, 'b')).done, { status: 0, message: 'The server cannot be reached.' });
  });
  test('does not wait when it is paused', async () => {
    failing(1, 503, { 'Retry-After': '9999' });
    const upload = uploader().add(file(5));
    upload.addEventListener('retry', () => upload.pause(), { once: true });
    upload.addEventListener('pause', () => upload.resume(), { once: true });
    await upload.done;
    assert.equal(toy.content(), text(5));
  });
});

describe('one failure', () => {
  test('ends the other chunks too, and is told once', async () => {
    toy.answer = async (method, path, body) => {
      if (path.endsWith('/chunks/1')) {
        while (toy.puts().length < 3) await turn();
        return refused(403);
      }
      if (method === 'PUT') await new Promise(() => {});
      return Toy.prototype.answer.call(toy, method, path, body);
    };
    const handle = toy.handle;
    const aborted = [];
    toy.handle = (url, given) =>
      Promise.race([
        handle(url, given),
        new Promise((_, reject) => given.signal?.addEventListener('abort', () => reject(aborted.push(url)))),
      ]);
    const all = uploader();
    const upload = all.add(file(95));
    const heard = listen(all, 'error', 'success', 'pause', 'cancel');
    await assert.rejects(upload.done, { status: 403 });
    await turn();
    assert.deepEqual(heard.map(({ type, upload: { state } }) => [type, state]), [['error', 'failed']]);
    for (const number of [0, 2]) assert.ok(aborted.includes(`${ENDPOINT}/id0/chunks/${number}`));
    assert.deepEqual(toy.puts(), [0, 1, 2]);
  });
  test('may be resumed, also from the event', async () => {
    let times = 1;
    toy.answer = async (method, path, body) => {
      if (method === 'PUT' && times-- > 0) return refused(507);
      return Toy.prototype.answer.call(toy, method, path, body);
    };
    const upload = uploader().add(file(25));
    const first = upload.done;
    upload.addEventListener('error', () => upload.resume());
    await assert.rejects(first, { status: 507 });
    await turn();
    assert.notEqual(upload.done, first);
    assert.equal((await upload.done).status, 'completed');
    assert.deepEqual(toy.asked.filter((line) => line.startsWith('POST')).length, 1);
  });
  test('is nobody else’s', async () => {
    toy.answer = async (method, path, body) => (path.startsWith('/id0') ? refused(403) : Toy.prototype.answer.call(toy, method, path, body));
    const all = uploader();
    all.add([file(25, 'a'), file(25, 'b')]);
    const ends = await all.done;
    assert.deepEqual(ends.map(({ status }) => status), ['rejected', 'fulfilled']);
  });
  const strange = [
    ['HTML', () => new Response('<!doctype html>'), /is the endpoint right/],
    ['JSON of no object', () => json(7), /is the endpoint right/],
    ['a refusal that is no problem document', () => new Response('no', { status: 403 }), /403/],
  ];
  for (const [name, answer, message] of strange) {
    test(`is ${name}`, async () => {
      toy.answer = async () => answer();
      await assert.rejects(uploader().add(file(5)).done, { name: 'JumboError', message });
      assert.equal(toy.asked.length, 1);
    });
  }
});

describe('pausing', () => {
  test('while a chunk is hashed sends nothing', async () => {
    let go;
    const held = new Promise((resolve) => (go = resolve));
    const digest = crypto.subtle.digest.bind(crypto.subtle);
    mock.method(crypto.subtle, 'digest', async (...given) => {
      await held;
      return digest(...given);
    });
    const upload = uploader().add(file(25));
    while (!toy.uploads.size) await turn();
    for (let turns = 0; turns < 20; turns += 1) await turn();
    upload.pause();
    go();
    for (let turns = 0; turns < 20; turns += 1) await turn();
    assert.deepEqual([upload.state, toy.puts()], ['paused', []]);
    upload.resume();
    await upload.done;
    assert.equal(toy.content(), text(25));
    assert.deepEqual(toy.puts(), [0, 1, 2]);
  });
  test('while it begins sends nothing', async () => {
    const upload = uploader().add(file(25));
    while (!toy.asked.length) await turn();
    upload.pause();
    for (let turns = 0; turns < 20; turns += 1) await turn();
    assert.deepEqual([upload.state, upload.id, toy.asked], ['paused', 'id0', ['POST /start']]);
    upload.resume();
    await upload.done;
    assert.deepEqual(toy.asked.slice(1, 2), ['GET /resume/id0']);
  });
  test('while it begins, and going on at once, begins once', async () => {
    const upload = uploader().add(file(25));
    while (!toy.asked.length) await turn();
    upload.pause();
    upload.resume();
    await upload.done;
    assert.deepEqual(toy.asked.slice(0, 2), ['POST /start', 'GET /resume/id0']);
    assert.deepEqual(toy.puts(), [0, 1, 2]);
  });
  test('at the very end is a pause as well', async () => {
    const slow = new Kept();
    const upload = uploader({ storage: slow }).add(file(25));
    slow.removeItem = async () => upload.pause();
    while (upload.state !== 'paused') await turn();
    for (let turns = 0; turns < 20; turns += 1) await turn();
    assert.equal(upload.state, 'paused');
    slow.removeItem = async () => {};
    upload.resume();
    assert.equal((await upload.done).status, 'completed');
  });
  test('before anything has begun begins nothing', async () => {
    const upload = uploader().add(file(25));
    upload.pause();
    upload.resume();
    upload.pause();
    for (let turns = 0; turns < 20; turns += 1) await turn();
    assert.deepEqual([upload.state, toy.asked], ['paused', []]);
    upload.resume();
    await upload.done;
    assert.equal(toy.asked.filter((line) => line.startsWith('POST')).length, 1);
  });
  test('twice, or when it is over, is nothing', async () => {
    const upload = uploader().add(file(25));
    const heard = listen(upload, 'pause', 'resume', 'cancel');
    upload.resume();
    upload.pause();
    upload.pause();
    upload.resume();
    upload.resume();
    await upload.done;
    upload.pause();
    upload.resume();
    assert.equal(await upload.cancel(), false);
    assert.deepEqual(heard.map(({ type }) => type), ['pause', 'resume']);
    assert.equal(upload.state, 'done');
  });
  test('gives its place to others', async () => {
    const all = uploader({ connections: 1 });
    const [first, second] = all.add([file(55, 'a'), file(55, 'b')]);
    first.addEventListener('chunk', () => first.pause(), { once: true });
    await second.done;
    assert.equal(first.state, 'paused');
    first.resume();
    await first.done;
    assert.deepEqual([toy.content('id0'), toy.content('id1')], [text(55), text(55)]);
  });
  test('is for all of them', async () => {
    const all = uploader();
    all.add([file(55, 'a'), file(55, 'b')]);
    all.pause();
    assert.deepEqual(all.uploads.map(({ state }) => state), ['paused', 'paused']);
    all.resume();
    await all.done;
    assert.equal(all.progress.percent, 100);
  });
});

describe('cancelling', () => {
  const begun = async (upload) => {
    while (!toy.puts().length) await turn();
    return upload;
  };
  test('deletes what there is', async () => {
    const upload = await begun(uploader().add(file(95)));
    assert.equal(await upload.cancel(), true);
    await assert.rejects(upload.done, { name: 'AbortError' });
    assert.deepEqual([toy.uploads.size, storage.size, toy.asked.at(-1)], [0, 0, 'DELETE /id0']);
    assert.equal(await upload.cancel(), true);
    upload.resume();
    assert.equal(upload.state, 'cancelled');
  });
  test('before anything has begun asks nobody', async () => {
    const upload = uploader().add(file(95));
    assert.equal(await upload.cancel(), true);
    assert.deepEqual(toy.asked, []);
  });
  test('while it begins deletes what has begun', async () => {
    const upload = uploader().add(file(95));
    while (!toy.asked.length) await turn();
    assert.equal(await upload.cancel(), true);
    assert.deepEqual(toy.asked, ['POST /start', 'DELETE /id0']);
  });
  test('is not rejected when nothing can be deleted', async () => {
    toy.answer = async (method, path, body) => (method === 'DELETE' ? refused(405) : Toy.prototype.answer.call(toy, method, path, body));
    assert.equal(await (await begun(uploader().add(file(95)))).cancel(), false);
  });
  test('is done when it is gone already', async () => {
    const upload = await begun(uploader().add(file(95)));
    toy.uploads.clear();
    assert.equal(await upload.cancel(), true);
  });
  test('does not count', async () => {
    const all = uploader();
    all.add([file(95, 'a'), file(5, 'b')]);
    assert.equal(all.progress.size, 100);
    await all.uploads[0].cancel();
    await all.done;
    assert.deepEqual([all.progress.size, all.progress.percent], [5, 100]);
  });
});

describe('what the server knows', () => {
  const known = (change) => {
    toy.start({ filename: 'a.txt', size: 25 });
    const resumed = toy.resumed;
    toy.resumed = (upload) => ({ ...resumed.call(toy, upload), ...(upload.id === 'id0' ? change : {}) });
  };
  const starts = () => toy.asked.filter((line) => line.startsWith('POST')).length;
  test('goes on', async () => {
    known({});
    toy.uploads.get('id0').chunks.set(1, Buffer.from(text(20).slice(10)));
    const upload = uploader({ parallel: 1 }).add(file(25), { id: 'id0' });
    const progress = listen(upload, 'progress');
    await upload.done;
    assert.equal(toy.content(), text(25));
    assert.deepEqual([starts(), toy.puts()], [0, [0, 2]]);
    assert.equal(progress[0].sent, 20);
  });
  for (const [name, change] of [['abandoned', { status: 'abandoned' }], ['of another size', { total_size: 24 }], ['of no known size', { total_size: null }]]) {
    test(`is not this upload if it is ${name}`, async () => {
      known(change);
      const upload = uploader().add(file(25), { id: 'id0' });
      await upload.done;
      assert.deepEqual([starts(), upload.id, toy.content('id1')], [1, 'id1', text(25)]);
    });
  }
  test('is all of it, but it was not put together', async () => {
    known({});
    for (const at of [0, 10, 20]) toy.uploads.get('id0').chunks.set(at / 10, Buffer.from(text(25).slice(at, at + 10)));
    known({ status: 'assembling' });
    await uploader().add(file(25), { id: 'id0' }).done;
    assert.deepEqual(toy.puts(), [2]);
  });
  test('is more than one list can say', async () => {
    known({});
    const resumed = toy.resumed;
    toy.resumed = (upload) => {
      const answer = resumed.call(toy, upload);
      return { ...answer, chunks_needed: answer.chunks_needed?.slice(0, 2) };
    };
    const upload = uploader({ parallel: 1 }).add(file(25), { id: 'id0' });
    const progress = listen(upload, 'progress');
    await upload.done;
    assert.deepEqual(progress.map(({ sent }) => sent), [10, 20, 25, 25]);
    assert.deepEqual(toy.puts(), [0, 1, 2]);
    assert.equal(toy.asked.filter((line) => line === 'GET /resume/id0').length, 2);
  });
  test('is not what it has said', async () => {
    toy.progress = () => ({ status: 'uploading' });
    toy.resumed = ({ told }) => ({ chunks_needed: [0], chunk_size: 10, total_chunks: 1, total_size: told.size, progress: 0 });
    await assert.rejects(uploader().add(file(5)).done, /does not keep/);
  });
  test('is not for us to know: nothing begins', async () => {
    toy.answer = async () => refused(403);
    await assert.rejects(uploader().add(file(25), { id: 'id0' }).done, { status: 403 });
    assert.deepEqual(toy.asked, ['GET /resume/id0']);
  });
  test('is of another file: an error, and then a new upload', async () => {
    known({});
    toy.answer = async (method, path, body) => {
      const conflict = { type: 'urn:tusjumbo:problem:chunk-conflict', detail: 'Other bytes.' };
      return path.startsWith('/id0') ? refused(409, {}, conflict) : Toy.prototype.answer.call(toy, method, path, body);
    };
    storage.setItem(`jumbo:${JSON.stringify([ENDPOINT, 'a.txt', 25, 7, 'text/plain'])}`, 'id0');
    const upload = uploader().add(file(25));
    await assert.rejects(upload.done, { status: 409, message: 'Other bytes.' });
    assert.equal(storage.size, 0);
    upload.resume();
    await upload.done;
    assert.equal(toy.content('id1'), text(25));
  });
  test('is that nothing is there, in the middle: an error, and then a new upload', async () => {
    const upload = uploader().add(file(95));
    upload.addEventListener('chunk', () => toy.uploads.delete('id0'), { once: true });
    await assert.rejects(upload.done, { status: 404 });
    toy.uploads.set('other', {});
    assert.ok(upload.progress.sent > 0);
    upload.resume();
    const progress = listen(upload, 'progress');
    await upload.done;
    assert.equal(progress[0].sent, CHUNK);
    assert.equal(upload.id, 'id1');
    assert.equal(toy.content('id1'), text(95));
  });
});

describe('an uploader', () => {
  test('has the events of its uploads, as hooks too', async () => {
    const heard = [];
    const all = uploader({ onSuccess: ({ upload, result }) => heard.push([upload.name, result.path]) });
    all.addEventListener('success', ({ detail }) => heard.push(detail.upload.name));
    all.add([file(5, 'a'), file(5, 'b')]);
    await all.done;
    assert.deepEqual(heard.sort(), [['a', 'a'], ['b', 'b'], 'a', 'b'].sort());
  });
  test('counts over all files', async () => {
    const all = uploader();
    const progress = listen(all, 'progress');
    all.add([file(55, 'a'), file(45, 'b')]);
    await all.done;
    assert.ok(progress.every(({ size }) => size === 100));
    const sent = progress.map((each) => each.sent);
    assert.deepEqual(sent, [...sent].sort((a, b) => a - b));
    assert.deepEqual([sent.at(-1), progress.at(-1).percent], [100, 100]);
  });
  test('tells a speed while it runs, and what is left', async () => {
    const progress = listen(uploader({ parallel: 1 }).add(file(95)), 'progress');
    while (!progress.length || progress.at(-1).percent < 100) await turn();
    const middle = progress.slice(1, -2);
    assert.ok(middle.length > 3 && middle.every(({ speed, remaining }) => speed > 0 && remaining >= 1));
  });
  test('tells the speed of late', async () => {
    let clock = 0;
    mock.method(performance, 'now', () => clock);
    const answer = toy.answer;
    toy.answer = async (method, ...given) => {
      if (method === 'PUT') clock += clock < 30_000 ? 1000 : 5000;
      return answer.call(toy, method, ...given);
    };
    const progress = listen(uploader({ parallel: 1 }).add(file(400)), 'progress');
    while (!progress.length || progress.at(-1).sent < 400) await turn();
    assert.deepEqual([progress[4].speed, progress[4].remaining], [10, 35]);
    assert.deepEqual([progress[28].speed, progress[28].remaining], [10, 11]);
    assert.deepEqual([progress[36].speed, progress[36].remaining], [2, 15]);
  });
  for (const options of [{ parallel: 0 }, { connections: 0 }, { parallel: NaN }]) {
    test(`refuses ${JSON.stringify(options)}`, () => assert.throws(() => uploader(options), RangeError));
  }
  test('takes what is undefined for absent', async () => {
    await uploader({ parallel: undefined, retries: undefined }).add(file(5)).done;
  });
  test('lets a slash be at the end of its endpoint', async () => {
    await uploader({ endpoint: `${ENDPOINT}/` }).add(file(5)).done;
    assert.deepEqual(toy.asked, ['POST /start', 'PUT /id0/chunks/0']);
  });
});
