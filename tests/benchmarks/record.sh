#!/usr/bin/env bash
# Measure everything that the README shows, in about twelve minutes, on a machine that does nothing
# else: `make bench-results TUSD=/path/to/tusd`. Without TUSD there are no ratios to tusd.
#
# Two runs: what the processor can do (everything in memory, the server on a core of its own), and
# what the machine can do (on disk, both cores; what is durable, hashes, memory, latency, workers).
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-.venv/bin/python} runs=${RUNS:-3} scale=${SCALE:-0.25}
results=tests/benchmarks/results memory=/dev/shm/tusjumbo-bench-tusd
mkdir -p "$results"

trap 'jobs -p | xargs -r kill; rm -rf "$memory" "$memory.log"' EXIT
tusd() {  # tusd PORT DIRECTORY: running, as words for the benchmarks
  mkdir -p "$2"
  "$TUSD" -host 127.0.0.1 -port "$1" -upload-dir "$2" -show-startup-logs=false >"$2.log" 2>&1 &
  peer=(--server "tusd=http://127.0.0.1:$1/files/" --baseline tusd)
}

peer=(--baseline tusjumbo-os)
if [ -n "${TUSD:-}" ]; then tusd 18431 "$memory"; sleep 1; fi
"$python" -m tests.benchmarks --dir shm --pin --runs "$runs" --scale "$scale" \
  --only W1,W2,W3,W4a,W4b,W5 --start tusjumbo --start tusjumbo-os-uvicorn "${peer[@]}" \
  --start raw-sink --start tus-node-server --start tuspyserver --start tussi \
  --start resumable-upload --json "$results/cpu.json"

"$python" -m tests.benchmarks --dir disk --runs "$runs" --scale "$scale" \
  --only W2,W3,W4b,W6,W7b,W8 --start tusjumbo --start tusjumbo-os-2 --start tussi \
  --baseline tusjumbo-os --json "$results/disk.json"

"$python" -m tests.benchmarks.results README.md
