// The page of test_jumbo_uploader.py: uploads what is chosen, and remembers what has happened.
import { JumboUploader } from "/upload/jumbo.js";

const EVENTS = ["progress", "chunk", "retry", "pause", "resume", "cancel", "success", "error"];
const tests = { events: [], uploader: null, JumboUploader };
globalThis.tests = tests;

function remember(where, { type, detail }) {
  const { upload, answer, error, result, ...more } = detail;
  const said = error && { name: error.name, message: error.message, status: error.status, type: error.type };
  tests.events.push({ type, where, file: upload.name, state: upload.state, result, error: said, ...more });
}

tests.begin = (options = {}, given = {}) => {
  tests.uploader = new JumboUploader({ delay: 20, ...options });
  for (const type of EVENTS) tests.uploader.addEventListener(type, (event) => remember("all", event));
  const uploads = tests.uploader.add(document.querySelector("input").files, given);
  for (const upload of uploads) {
    for (const type of EVENTS) upload.addEventListener(type, (event) => remember("one", event));
  }
  return uploads.length;
};

tests.ended = async () => {
  const ends = await tests.uploader.done;
  return ends.map(({ status, value, reason }) => ({ status, value, reason: reason && String(reason) }));
};
