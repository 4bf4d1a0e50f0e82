// JumboUploader: files of any size to a tusjumbo server, in chunks, from a browser or from Node 20.
//
// Strategy: the server knows what it has. So an upload is always the same walk, whether it is new,
// was paused, or has lost its server or its page: ask which chunks are needed (or start), and send
// those side by side until an answer says "completed". Only the id is kept, in localStorage, under
// what tells this file from others. What passes by itself is tried again, after a delay that grows
// and is left to chance, so that a thousand clients do not come back at once; anything else is an
// error, once. One signal ends all that runs for an upload, and its next walk begins when the last
// one has ended. What is read of a file is what is being sent.
//
//   import { JumboUploader } from "/upload/jumbo.js";
//   const upload = new JumboUploader({ endpoint: "/upload" }).add(file);
//   upload.addEventListener("progress", ({ detail }) => (bar.value = detail.percent));
//   const { path } = await upload.done;
//
// Or `<script type="module" src="/upload/jumbo.js?global">`, which sets `globalThis.JumboUploader`.

/**
 * @typedef {"queued" | "running" | "paused" | "done" | "failed" | "cancelled"} State
 * @typedef {"progress" | "chunk" | "retry" | "pause" | "resume" | "cancel" | "success"
 *   | "error"} EventName
 * @typedef {{ sent: number, size: number, percent: number, speed: number,
 *   remaining: number | null }} Progress
 *   Bytes, per cent, bytes per second, seconds; `remaining` is null while nobody can tell.
 * @typedef {{ status: "completed", path: string | null, size: number, duration: number }} Result
 * @typedef {{ result: Result } | { needed: Iterable<number> }} Plan
 * @typedef {Record<string, string>} Headers
 * @typedef {Record<string, unknown>} Metadata
 * @typedef {{ status: number, text: string, retryAfter: string | null }} Answer
 * @typedef {{ method: string, url: string, headers: Headers, signal: AbortSignal | null,
 *   body?: Blob | string, onProgress?: (sent: number) => void }} Request
 * @typedef {{ id?: string, name?: string, metadata?: Metadata }} Given
 *   Of one file: an upload that the server has begun already, a name, and what else to tell of it.
 *
 * @typedef {object} Settings
 * @property {string} [endpoint] Where the routes are; "/upload".
 * @property {number} [parallel] Chunks of one file on their way at once; 3.
 * @property {number} [connections] Requests at once over all files; 5, of a browser's 6.
 * @property {number} [chunkSize] Bytes; the server's own choice if absent.
 * @property {number} [retries] How often a request is tried again; 10.
 * @property {number} [delay] Milliseconds before the first retry, at most; doubled each time; 500.
 * @property {number} [maxDelay] Milliseconds that this does not exceed; 30,000.
 * @property {number} [timeout] Milliseconds without a sign of life that end a request; 60,000.
 * @property {(error: JumboError, attempt: number) => boolean} [shouldRetry]
 *   Instead of `error.passes`.
 * @property {Headers | ((upload: JumboUpload) => Headers | Promise<Headers>)} [headers]
 *   Of every request. A function is asked before each, so that tokens may expire.
 * @property {RequestCredentials} [credentials] "include": cookies go to other origins, too.
 * @property {Metadata | ((file: Blob) => Metadata)} [metadata]
 * @property {Pick<Storage, "getItem" | "setItem" | "removeItem"> | null} [storage]
 *   localStorage, or what has its methods (which may be async); null: the page forgets.
 * @property {(file: Blob, endpoint: string) => string | null | Promise<string | null>} [fingerprint]
 *   What tells the file from others, after a reload; null: nothing.
 * @typedef {{ [name in EventName as `on${Capitalize<name>}`]?: (detail: any) => void }} Hooks
 * @typedef {Settings & Hooks} Options
 */

/** @type {EventName[]} */
const EVENTS = ["progress", "chunk", "retry", "pause", "resume", "cancel", "success", "error"];
const DEFAULTS = {
  endpoint: "/upload",
  parallel: 3,
  connections: 5,
  retries: 10,
  delay: 500,
  maxDelay: 30_000,
  timeout: 60_000,
  credentials: /** @type {RequestCredentials} */ ("same-origin"),
  fingerprint,
};
const LATELY = 10_000;
const LONGEST_TIMER = 2 ** 31 - 1;
const CORRUPTED = "urn:tusjumbo:problem:digest-mismatch";
const CONFLICT = "urn:tusjumbo:problem:chunk-conflict";
const UNREACHABLE = { status: 0, title: "Unreachable", detail: "The server cannot be reached." };
const SILENT = { status: 0, title: "Timeout", detail: "The server has not been heard of." };

/** How the server has refused a request (RFC 9457); status 0: there was no answer. */
export class JumboError extends Error {
  /** @param {{ status: number, type?: string, title?: string, detail?: string }} problem
   * @param {string | null} [retryAfter] the field of the answer */
  constructor(problem, retryAfter = null) {
    super(problem.detail || problem.title || `The server has answered ${problem.status}.`);
    this.name = "JumboError";
    this.problem = problem;
    this.status = problem.status;
    this.type = problem.type ?? "about:blank";
    this.title = problem.title ?? "";
    this.detail = problem.detail ?? "";
    /** Milliseconds that the server asks to wait, or null. */
    this.retryAfter = retryAfter === null ? null : millisecondsOf(retryAfter);
  }

  /** Whether the same request may work later. No space (507) is for somebody to look at. */
  get passes() {
    const { status, type } = this;
    if (status >= 500) return ![501, 505, 507, 511].includes(status);
    return [0, 408, 423, 425, 429].includes(status) || type === CORRUPTED;
  }

  get isGone() {
    return this.status === 404 || this.status === 410;
  }
}

/** @param {string} text seconds or a date @returns {number | null} */
function millisecondsOf(text) {
  const wait = Number.isNaN(Number(text)) ? Date.parse(text) - Date.now() : Number(text) * 1000;
  return Number.isNaN(wait) ? null : Math.max(0, wait);
}

/** Milliseconds before retry `attempt` (from 0): exponential with full jitter, and never sooner
 * than the server asks for.
 * @param {number} attempt @param {{ delay: number, maxDelay: number }} limits
 * @param {number | null} [retryAfter] @param {() => number} [random] */
export function backoff(attempt, { delay, maxDelay }, retryAfter = null, random = Math.random) {
  const jitter = random() * Math.min(maxDelay, delay * 2 ** attempt);
  return Math.min(LONGEST_TIMER, (retryAfter ?? 0) + jitter);
}

/** Not by its class, of which each frame has its own. @param {Blob} blob @returns {blob is File} */
const isFile = (blob) => "lastModified" in blob;

/** All that a page may know of a file. A mere Blob has nothing of the kind.
 * @param {Blob} file @param {string} endpoint */
function fingerprint(file, endpoint) {
  if (!isFile(file)) return null;
  const { name, size, lastModified, type, webkitRelativePath } = file;
  return JSON.stringify([endpoint, webkitRelativePath || name, size, lastModified, type]);
}

/** What `begin` finishes later, unless `signal` does first. What it returns ends the waiting.
 * @param {AbortSignal} signal @param {(finish: () => void) => () => void} begin
 * @returns {Promise<void>} */
function interruptible(signal, begin) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const then = (/** @type {() => void} */ settle) => () => {
      signal.removeEventListener("abort", stop);
      end();
      settle();
    };
    const stop = then(() => reject(signal.reason));
    signal.addEventListener("abort", stop);
    const end = begin(then(resolve));
  });
}

/** @param {number} time milliseconds
 * @param {AbortSignal} signal @param {string} [event] or until this */
function wait(time, signal, event) {
  return interruptible(signal, (finish) => {
    const timer = setTimeout(finish, time);
    if (event) globalThis.addEventListener(event, finish);
    return () => {
      clearTimeout(timer);
      if (event) globalThis.removeEventListener(event, finish);
    };
  });
}

/** So many at once; the lowest rank is next, so that files end in the order in which they came. */
export class Slots {
  #free;
  /** @type {{ rank: number, go: () => void }[]} */
  #waiting = [];

  /** @param {number} count */
  constructor(count) {
    this.#free = count;
  }

  /** @param {number} rank @param {AbortSignal} signal
   * @returns {Promise<() => void>} what gives it back */
  async take(rank, signal) {
    if (this.#free > 0) this.#free -= 1;
    else await interruptible(signal, (go) => this.#queue({ rank, go }));
    return () => {
      const next = this.#waiting[0];
      if (next) next.go();
      else this.#free += 1;
    };
  }

  /** @param {{ rank: number, go: () => void }} entry */
  #queue(entry) {
    const later = this.#waiting.findIndex((other) => other.rank > entry.rank);
    this.#waiting.splice(later < 0 ? this.#waiting.length : later, 0, entry);
    return () => void this.#waiting.splice(this.#waiting.indexOf(entry), 1);
  }
}

// --- requests ------------------------------------------------------------------------------------

/** XMLHttpRequest: the one way to see how far a body is, in every browser.
 * @param {Request} request @param {typeof DEFAULTS} options @returns {Promise<Answer>} */
function byXhr({ method, url, headers, body, signal, onProgress }, { credentials, timeout }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const end = (/** @type {() => void} */ settle) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      settle();
      xhr.abort();
    };
    const stop = () => end(() => reject(signal?.reason));
    const fail = (/** @type {typeof SILENT} */ why) => end(() => reject(new JumboError(why)));
    const listen = () => {
      clearTimeout(timer);
      timer = setTimeout(fail, timeout, SILENT);
    };
    xhr.open(method, url);
    xhr.withCredentials = credentials === "include";
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.onerror = () => fail(UNREACHABLE);
    xhr.onload = () => {
      const retryAfter = xhr.status < 400 ? null : xhr.getResponseHeader("Retry-After");
      end(() => resolve({ status: xhr.status, text: xhr.responseText, retryAfter }));
    };
    if (onProgress) {
      xhr.upload.onprogress = ({ loaded }) => {
        listen();
        onProgress(loaded);
      };
    }
    signal?.addEventListener("abort", stop);
    listen();
    xhr.send(body);
  });
}

/** @param {Request} request @param {typeof DEFAULTS} options @returns {Promise<Answer>} */
async function byFetch({ method, url, headers, body, signal }, { credentials }) {
  try {
    const response = await fetch(url, { method, headers, body, signal, credentials });
    const retryAfter = response.headers.get("Retry-After");
    return { status: response.status, text: await response.text(), retryAfter };
  } catch {
    throw new JumboError(UNREACHABLE);
  }
}

/** The JSON that was answered. @param {Answer} answer @param {string} url @returns {any} */
function read({ status, text, retryAfter }, url) {
  let json = null;
  try {
    json = JSON.parse(text);
  } catch {
    // Somebody on the way has answered, who does not speak JSON.
  }
  const told = typeof json === "object" && json !== null;
  if (status < 200 || status > 299) throw new JumboError({ ...(told && json), status }, retryAfter);
  if (told) return json;
  throw new JumboError({ status, detail: `${url} is not Jumbo's: is the endpoint right?` });
}

/** The body that is a chunk, with its digest, but from insecure origins: their pages may not hash.
 * @param {Blob} chunk @returns {Promise<Pick<Request, "headers" | "body">>} */
async function sealed(chunk) {
  const bytes = await chunk.arrayBuffer();
  // Measured in Chromium 156: the buffer itself is sent at 6 MiB/s, a blob of it at 50.
  const body = new Blob([bytes]);
  const headers = { "Content-Type": "application/octet-stream" };
  if (!globalThis.crypto?.subtle) return { headers, body };
  const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const digest = `sha-256=:${btoa(String.fromCharCode(...sha256))}:`;
  return { headers: { ...headers, "Content-Digest": digest }, body };
}

// --- one file ------------------------------------------------------------------------------------

/** The upload of one file, with the events of `EventName`; `detail` has the `upload` and more. */
export class JumboUpload extends EventTarget {
  /** The server's name for it, once it has one. @type {string | null} */
  id;
  /** @type {State} */
  state = "queued";
  #options;
  #slots;
  #rank;
  #run = new AbortController();
  /** The last walk, or the withdrawal. @type {Promise<unknown>} */
  #ended = Promise.resolve();
  #outcome = unsettled();
  /** Where the id is kept. @type {string | null} */
  #key = null;
  #chunkSize = 0;
  /** Bytes that the server has. */
  #stored = 0;
  /** Bytes of the chunks on their way, by number. @type {Map<number, number>} */
  #flying = new Map();
  /** The most that was ever sent: to send a chunk again is no step back. */
  #sent = 0;
  /** When how much was sent, of late. @type {[number, number][]} */
  #samples = [];

  /** @param {Blob} file @param {Options & typeof DEFAULTS} options @param {Given} given
   * @param {Slots} slots @param {number} rank */
  constructor(file, options, given, slots, rank) {
    super();
    this.file = file;
    this.name = given.name ?? (isFile(file) ? file.name : "blob");
    this.id = given.id ?? null;
    const { metadata } = options;
    this.metadata = {
      ...(file.type && { type: file.type }),
      ...(typeof metadata === "function" ? metadata(file) : metadata),
      ...given.metadata,
    };
    this.#options = options;
    this.#slots = slots;
    this.#rank = rank;
    this.#launch();
  }

  /** Fulfilled with the server's last answer; rejected with what else has ended the upload: an
   * AbortError after `cancel`. A failed one that is resumed has a new promise.
   * @returns {Promise<Result>} */
  get done() {
    return this.#outcome.promise;
  }

  /** @returns {Progress} */
  get progress() {
    const { size } = this.file;
    if (this.state === "done") return progressOf(size, size, 0);
    const [since, before] = this.#samples[0] ?? [0, this.#sent];
    const speed = ((this.#sent - before) / Math.max(1, performance.now() - since)) * 1000;
    return progressOf(this.#sent, size, this.state === "running" ? speed : 0);
  }

  /** Stop for now. What is on its way is sent again later. */
  pause() {
    if (this.state === "queued" || this.state === "running") this.#halt("paused", "pause");
  }

  /** Go on, after a pause or a failure. */
  resume() {
    if (this.state !== "paused" && this.state !== "failed") return;
    if (this.state === "failed") this.#outcome = unsettled();
    this.#launch();
    this.#tell("resume");
  }

  /** Give it up, here and on the server.
   * @returns {Promise<boolean>} whether nothing is left there */
  async cancel() {
    if (this.state === "done") return false;
    if (this.state !== "cancelled") {
      this.#outcome.reject(new DOMException("The upload was cancelled.", "AbortError"));
      this.#ended = this.#ended.then(() => this.#withdraw());
      this.#halt("cancelled", "cancel");
    }
    return (await this.#ended) === true;
  }

  #launch() {
    this.state = "queued";
    const { signal } = (this.#run = new AbortController());
    this.#ended = this.#ended.then(() => this.#work(signal));
  }

  /** @param {State} state @param {EventName} event */
  #halt(state, event) {
    this.state = state;
    this.#run.abort(new DOMException(`The upload is ${state}.`, "AbortError"));
    this.#tell(event);
  }

  /** @param {AbortSignal} signal */
  async #work(signal) {
    try {
      const result = await this.#alone(signal);
      await this.#keep("removeItem");
      if (signal.aborted) return;
      this.state = "done";
      this.#outcome.resolve(result);
      this.#tell("progress", this.progress);
      this.#tell("success", { result });
    } catch (error) {
      // What the server has is of another file, so the next try is a new upload.
      if (error instanceof JumboError && error.type === CONFLICT) await this.#forget();
      if (signal.aborted) return;
      this.state = "failed";
      this.#outcome.reject(error);
      this.#tell("error", { error });
    }
  }

  /** Two pages with the same file would send the same chunks: the second waits for the first.
   * @param {AbortSignal} signal @returns {Promise<Result>} */
  async #alone(signal) {
    const { fingerprint, endpoint, storage } = this.#options;
    const mark = storage ? await fingerprint(this.file, endpoint) : null;
    this.#key = mark === null ? null : `jumbo:${mark}`;
    const locks = globalThis.navigator?.locks;
    if (this.#key === null || !locks) return this.#walk(signal);
    return locks.request(this.#key, { signal }, () => this.#walk(signal));
  }

  /** @param {AbortSignal} signal @returns {Promise<Result>} */
  async #walk(signal) {
    for (let before = -1; ; ) {
      const plan = (await this.#resumed(signal)) ?? (await this.#started(signal));
      signal.throwIfAborted();
      if ("result" in plan) return plan.result;
      if (this.#stored <= before) {
        throw new JumboError({ status: 200, detail: "The server does not keep what it takes." });
      }
      before = this.#stored;
      this.#flying.clear();
      this.#sent = Math.max(this.#sent, before);
      this.#samples = [[performance.now(), this.#sent]];
      const result = await this.#send(plan.needed, signal);
      if (result) return result;
    }
  }

  /** What is left to do; null if the server knows no such upload (any more).
   * @param {AbortSignal} signal @returns {Promise<Plan | null>} */
  async #resumed(signal) {
    this.id ??= await this.#keep("getItem");
    if (this.id === null) return null;
    const known = await this.#ask("GET", `resume/${this.#segment}`, signal).catch((error) => {
      if (error instanceof JumboError && error.isGone) return null;
      throw error;
    });
    const { size } = this.file;
    if (known?.total_size !== size || known.status === "abandoned") {
      await this.#forget();
      return null;
    }
    if (known.status === "completed") {
      return { result: await this.#ask("GET", `status/${this.#segment}`, signal) };
    }
    this.#chunkSize = known.chunk_size;
    const needed = /** @type {number[]} */ (known.chunks_needed);
    const missing = needed.reduce((sum, number) => sum + this.#sizeOf(number), 0);
    // A list of very many chunks is cut, and a chunk of which a part is there is needed: so both.
    this.#stored = Math.min(size - missing, Math.floor((size * known.progress) / 100));
    // If all are there and it is not completed, it is once any of them comes again.
    return { needed: needed.length > 0 ? needed : [known.total_chunks - 1] };
  }

  /** @param {AbortSignal} signal @returns {Promise<Plan>} */
  async #started(signal) {
    const { name: filename, metadata, file } = this;
    const told = { filename, size: file.size, metadata, chunk_size: this.#options.chunkSize };
    const headers = { "Content-Type": "application/json" };
    // A pause does not break it off: it may have begun, and nobody would know which upload it is.
    const prepare = () => ({ headers, body: JSON.stringify(told), signal: null });
    const begun = await this.#ask("POST", "start", signal, prepare);
    this.id = String(begun.upload_id);
    this.#chunkSize = begun.chunk_size;
    await this.#keep("setItem", this.id);
    return begun.status === "completed" ? { result: begun } : { needed: upTo(begun.total_chunks) };
  }

  /** Send these chunks. @param {Iterable<number>} numbers @param {AbortSignal} signal
   * @returns {Promise<Result | undefined>} */
  async #send(numbers, signal) {
    const crew = new AbortController();
    const stop = () => crew.abort(signal.reason);
    signal.addEventListener("abort", stop);
    const left = numbers[Symbol.iterator]();
    const work = async () => {
      for (let next = left.next(); !next.done; next = left.next()) {
        const answer = await this.#sendChunk(next.value, crew.signal);
        if (answer.status === "completed") return answer;
      }
    };
    const workers = Array.from({ length: this.#options.parallel }, work);
    try {
      return (await Promise.all(workers)).find(Boolean);
    } catch (error) {
      crew.abort(error);
      throw error;
    } finally {
      await Promise.allSettled(workers);
      signal.removeEventListener("abort", stop);
    }
  }

  /** @param {number} number @param {AbortSignal} signal */
  async #sendChunk(number, signal) {
    const start = number * this.#chunkSize;
    const chunk = this.file.slice(start, start + this.#sizeOf(number));
    const onProgress = (/** @type {number} */ sent) => {
      this.#flying.set(number, Math.min(sent, chunk.size));
      this.#count();
    };
    const prepare = async () => ({ ...(await sealed(chunk)), onProgress });
    const answer = await this.#ask("PUT", `${this.#segment}/chunks/${number}`, signal, prepare);
    this.#flying.delete(number);
    this.#stored += chunk.size;
    this.#count();
    this.#tell("chunk", { number, size: chunk.size, answer });
    return answer;
  }

  /** One request, until it works or cannot. @param {string} method @param {string} path
   * @param {AbortSignal} signal
   * @param {() => Promise<Partial<Request>> | Partial<Request>} [prepare] asked for each attempt */
  async #ask(method, path, signal, prepare = () => ({})) {
    const { endpoint, headers, shouldRetry, retries, maxDelay } = this.#options;
    const url = `${endpoint}/${path}`;
    const release = await this.#slots.take(this.#rank, signal);
    try {
      for (let attempt = 0; ; attempt += 1) {
        try {
          signal.throwIfAborted();
          if (this.state === "queued") this.state = "running";
          const common = typeof headers === "function" ? await headers(this) : headers;
          const own = await prepare();
          signal.throwIfAborted();
          const request = { method, url, signal, ...own, headers: { ...common, ...own.headers } };
          const send = globalThis.XMLHttpRequest ? byXhr : byFetch;
          return read(await send(request, this.#options), url);
        } catch (error) {
          signal.throwIfAborted();
          if (!(error instanceof JumboError)) throw error;
          // While there is no network at all nothing counts, and nothing is given up.
          const offline = error.status === 0 && globalThis.navigator?.onLine === false;
          if (offline) attempt -= 1;
          else if (attempt >= retries) throw error;
          else if (!(shouldRetry?.(error, attempt) ?? error.passes)) throw error;
          const delay = offline ? maxDelay : backoff(attempt, this.#options, error.retryAfter);
          this.#tell("retry", { error, attempt, delay, offline });
          await wait(delay, signal, offline ? "online" : undefined);
        }
      }
    } finally {
      release();
    }
  }

  async #withdraw() {
    await this.#keep("removeItem");
    if (this.id === null) return true;
    try {
      await this.#ask("DELETE", this.#segment, new AbortController().signal);
      return true;
    } catch (error) {
      return error instanceof JumboError && error.isGone;
    }
  }

  async #forget() {
    await this.#keep("removeItem");
    this.id = null;
    this.#stored = this.#sent = 0;
  }

  /** Storage may be full, or closed to us: then only the page remembers.
   * @param {"getItem" | "setItem" | "removeItem"} method @param {string} [id]
   * @returns {Promise<string | null>} */
  async #keep(method, id = "") {
    if (this.#key === null) return null;
    try {
      return (await this.#options.storage?.[method](this.#key, id)) ?? null;
    } catch {
      return null;
    }
  }

  /** @param {number} number */
  #sizeOf(number) {
    return Math.min(this.#chunkSize, this.file.size - number * this.#chunkSize);
  }

  get #segment() {
    return encodeURIComponent(this.id ?? "");
  }

  #count() {
    const sent = [...this.#flying.values()].reduce((sum, each) => sum + each, this.#stored);
    this.#sent = Math.max(this.#sent, Math.min(sent, this.file.size));
    const now = performance.now();
    this.#samples.push([now, this.#sent]);
    while (this.#samples.length > 1 && this.#samples[1][0] < now - LATELY) this.#samples.shift();
    this.#tell("progress", this.progress);
  }

  /** @param {EventName} type @param {object} [detail] */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail: { upload: this, ...detail } }));
  }
}

/** @param {number} stop */
function* upTo(stop) {
  for (let number = 0; number < stop; number += 1) yield number;
}

/** A promise that may be rejected while nobody looks. */
function unsettled() {
  let resolve = (/** @type {Result} */ _) => {};
  let reject = (/** @type {unknown} */ _) => {};
  /** @type {Promise<Result>} */
  const promise = new Promise((...both) => ([resolve, reject] = both));
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/** @param {number} sent @param {number} size @param {number} speed @returns {Progress} */
function progressOf(sent, size, speed) {
  const left = size - sent;
  const remaining = left === 0 ? 0 : speed > 0 ? Math.ceil(left / speed) : null;
  return { sent, size, percent: size > 0 ? (sent / size) * 100 : 100, speed, remaining };
}

// --- any number of files -------------------------------------------------------------------------

/** Uploads files side by side. It has the events of its uploads; `progress` is that of them all. */
export class JumboUploader extends EventTarget {
  /** In the order in which they were added. @type {JumboUpload[]} */
  uploads = [];
  #options;
  #slots;
  #added = 0;

  /** The seed's `new JumboUploader(uploadId, chunkSize, totalChunks)` works, too. What it says is
   * kept and not used, as ever: the server knows better.
   * @param {Options | string | null} [options]
   * @param {number} [chunkSize] @param {number} [totalChunks] */
  constructor(options = {}, chunkSize, totalChunks) {
    super();
    const isSeeds = typeof options !== "object" || options === null;
    const seeds = { uploadId: options, chunkSize, totalChunks, currentChunk: 0 };
    if (isSeeds) Object.assign(this, seeds);
    const given = Object.entries(isSeeds ? {} : options).filter(([, value]) => value !== undefined);
    /** @type {Options & typeof DEFAULTS} */
    const all = { ...DEFAULTS, storage: pageStorage(), ...Object.fromEntries(given) };
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    all.endpoint = new URL(all.endpoint, base).href.replace(/\/+$/, "");
    for (const limit of /** @type {const} */ (["parallel", "connections"])) {
      if (!(all[limit] >= 1)) throw new RangeError(`${limit} is at least 1, not ${all[limit]}.`);
    }
    if (!globalThis.crypto?.subtle) {
      console.warn("JumboUploader: the page's origin is not secure: chunks go without SHA-256.");
    }
    this.#options = all;
    this.#slots = new Slots(all.connections);
    for (const type of EVENTS) {
      const name = `on${type[0].toUpperCase()}${type.slice(1)}`;
      const hook = all[/** @type {keyof Hooks} */ (name)];
      this.addEventListener(type, (event) => hook?.(/** @type {CustomEvent} */ (event).detail));
    }
  }

  /** Begin to upload: one file, or a list of them.
   * @overload @param {Blob} files @param {Given} [given] @returns {JumboUpload} */
  /** @overload @param {Iterable<Blob> | ArrayLike<Blob>} files @param {Given} [given]
   * @returns {JumboUpload[]} */
  /** @param {Blob | Iterable<Blob> | ArrayLike<Blob>} files @param {Given} [given] */
  add(files, given = {}) {
    if (!("arrayBuffer" in files)) return Array.from(files, (file) => this.add(file, given));
    const upload = new JumboUpload(files, this.#options, given, this.#slots, this.#added++);
    this.uploads.push(upload);
    for (const type of EVENTS) {
      upload.addEventListener(type, (event) => {
        const { detail } = /** @type {CustomEvent} */ (event);
        const more = type === "progress" ? this.progress : {};
        this.dispatchEvent(new CustomEvent(type, { detail: { ...detail, ...more } }));
      });
    }
    return upload;
  }

  /** Of all uploads but the cancelled ones. @returns {Progress} */
  get progress() {
    const counted = this.uploads.filter(({ state }) => state !== "cancelled");
    const total = { sent: 0, size: 0, speed: 0 };
    for (const { progress } of counted) {
      total.sent += progress.sent;
      total.size += progress.size;
      total.speed += progress.speed;
    }
    return progressOf(total.sent, total.size, total.speed);
  }

  /** Fulfilled when every upload is over, with how each has ended. */
  get done() {
    return Promise.allSettled(this.uploads.map((upload) => upload.done));
  }

  pause() {
    for (const upload of this.uploads) upload.pause();
  }

  resume() {
    for (const upload of this.uploads) upload.resume();
  }

  cancel() {
    return Promise.all(this.uploads.map((upload) => upload.cancel()));
  }

  /** The seed's way: one file, and `updateProgress` for each step. @param {Blob} file */
  async uploadFile(file) {
    const upload = this.add(file);
    upload.addEventListener("progress", () => this.updateProgress(upload.progress.percent));
    return upload.done;
  }

  /** To be overridden; this one sets the width of the element `#progress`, as the seed's did.
   * @param {number} progress per cent */
  updateProgress(progress) {
    const bar = globalThis.document?.getElementById("progress");
    if (bar) bar.style.width = `${progress}%`;
  }
}

/** localStorage, unless the page may not have one. */
function pageStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}

if (new URL(import.meta.url).searchParams.has("global")) {
  Object.assign(globalThis, { JumboUploader });
}
