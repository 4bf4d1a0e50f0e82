"""`python -m tests.seed README.md`: the promises of the document that Jumbo comes from, with tests.

The table in the README is made from this list and from nothing else; `tests/test_seed.py` sees to
it that every test it names is there and that every heading of the document has its rows.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tusjumbo.cli.reference import replaced

ROOT = Path(__file__).parents[1]

BEGIN = "<!-- seed: written by `make readme` -->"
END = "<!-- end of seed -->"


@dataclass(frozen=True, slots=True)
class Promise:
    heading: str
    """The part of the document that says it."""
    says: str
    file: str
    """Below `tests/`, without the suffix."""
    tests: tuple[str, ...]


def _row(heading: str, says: str, file: str, tests: str) -> Promise:
    return Promise(heading, says, file, tuple(f"test_{name}" for name in tests.split()))


PROMISES = (
    _row(
        "Features",
        "Chunked uploads, files larger than memory",
        "faults/test_memory",
        "one_form_of_2_gib",
    ),
    _row(
        "Features",
        "Resume interrupted uploads",
        "faults/test_chunks",
        "what_was_acknowledged_survives_kill_9",
    ),
    _row(
        "Features",
        "Progress tracking",
        "jumbo/test_jumbo",
        "an_upload_from_its_start_to_its_end the_rate_is_that_of_late",
    ),
    _row(
        "Features",
        "Automatic chunk verification by SHA-256",
        "engine/test_placing",
        "chunks_in_any_order_make_the_file_and_are_recorded a_wrong_digest_keeps_nothing"
        " verifying_reads_what_is_there_now",
    ),
    _row(
        "Features",
        "CSV processing without loading it into memory",
        "jumbo/test_tables_memory",
        "memory",
    ),
    _row(
        "Features",
        "Background processing: nothing blocks",
        "jumbo/test_tables",
        "blocking_callbacks_do_not_block_the_loop",
    ),
    _row(
        "How It Works",
        "Validated, stored, tracked, assembled; cleaned up",
        "faults/test_chunks",
        "processes_that_finish_an_upload_together_finish_it_once",
    ),
    _row(
        "How It Works",
        "`UploadSession`, `UploadChunk`",
        "jumbo/test_jumbo",
        "a_session_is_the_seeds_dataclass",
    ),
    _row(
        "Flask-TSK Integration",
        "`init_jumbo`, `get_jumbo`, the three routes as written there",
        "flask/test_seed",
        "the_documents_upload what_it_never_did_right",
    ),
    _row(
        "Flask-TSK Integration",
        "`JUMBO_CONFIG`",
        "flask/test_seed",
        "the_documents_configuration",
    ),
    _row(
        "Flask-TSK Integration",
        "A ready blueprint, with streamed bodies",
        "flask/test_blueprint",
        "an_upload_by_forms an_upload_by_bodies",
    ),
    _row(
        "API Reference",
        "`start_upload`, `upload_chunk`, `resume_upload`, `get_status`",
        "jumbo/test_jumbo",
        "an_upload_from_its_start_to_its_end the_answer_to_the_last_chunk_may_be_lost",
    ),
    _row("API Reference", "`cancel_upload`", "jumbo/test_jumbo", "cancelling"),
    _row("API Reference", "`verify_chunk`", "jumbo/test_jumbo", "verifying"),
    _row("API Reference", "`stream_csv`", "jumbo/test_tables", "the_seeds_example"),
    _row("API Reference", "`get_statistics`", "jumbo/test_jumbo", "statistics"),
    _row(
        "Client-Side Integration",
        "The JavaScript client as written there, unchanged",
        "clients/test_jumbo_uploader",
        "the_seeds_own_client",
    ),
    _row(
        "Client-Side Integration",
        "`JumboUploader`, written anew",
        "clients/test_jumbo_uploader",
        "many_files chunks_are_on_the_server_at_the_same_time pause_and_resume"
        " after_a_reload_only_missing_chunks_are_sent server_killed_and_restarted",
    ),
    _row(
        "Error Handling",
        "`ValueError` for what the caller did wrong",
        "jumbo/test_jumbo",
        "what_the_caller_does_wrong_is_a_value_error",
    ),
    _row(
        "Error Handling",
        "`RuntimeError` for what the system could not do",
        "jumbo/test_jumbo",
        "what_the_system_cannot_do_is_a_runtime_error",
    ),
    _row(
        "Performance Considerations",
        "Chunks are streamed to disk",
        "web/test_forms",
        "nothing_is_copied_but_into_the_buffer",
    ),
    _row(
        "Performance Considerations",
        "Abandoned uploads go to the recovery directory, and come back",
        "jumbo/test_jumbo",
        "an_abandoned_upload_is_set_aside_and_comes_back",
    ),
    _row(
        "Performance Considerations",
        "Configurable chunk sizes",
        "web/test_jumbo",
        "chunks_of_the_clients_size",
    ),
    _row(
        "Performance Considerations",
        "Resumable by whichever protocol",
        "engine/test_placing",
        "any_mixture_comes_to_the_same tus_goes_over_chunks_without_writing_them_again",
    ),
    _row(
        "Security Features",
        "File types are verified by content",
        "web/test_types",
        "what_is_refused_leaves_nothing lists",
    ),
    _row(
        "Security Features",
        "Size limits",
        "sessions/test_placing",
        "what_is_no_chunk_is_refused",
    ),
    _row("Security Features", "Names are sanitised", "stores/test_names", "every_name_is_safe"),
    _row(
        "Security Features",
        "Access control by Flask-TSK's permissions",
        "flask/test_flask_tsk",
        "permissions_are_those_of_the_herd",
    ),
    _row(
        "Monitoring and Logging",
        "`active_uploads`",
        "jumbo/test_jumbo",
        "active_uploads_are_a_live_mapping",
    ),
    _row(
        "Integration with Other Elephants",
        "Babar, Kaavan, Koshik",
        "flask/test_flask_tsk",
        "babar_has_the_story kaavan_has_the_alerts_and_the_figures koshik_has_the_notice",
    ),
    _row(
        "Troubleshooting",
        "The logger `jumbo` tells each chunk's story",
        "engine/test_placing",
        "the_logger_jumbo_tells_the_story",
    ),
    _row(
        "Future Enhancements",
        "Parallel chunks",
        "engine/test_placing",
        "chunks_are_taken_side_by_side_and_finish_the_upload_once",
    ),
    _row(
        "Future Enhancements",
        "Several files at once, retries",
        "clients/test_jumbo_uploader",
        "many_files what_passes_is_tried_again the_server_says_when_to_come_back",
    ),
)


def table() -> str:
    """The promises in Markdown."""
    return "\n".join(["| The seed says | Shown by |", "|---|---|", *map(_line, PROMISES)])


def _line(promise: Promise) -> str:
    tests = ", ".join(name.removeprefix("test_").replace("_", " ") for name in promise.tests)
    return f"| {promise.says} | `tests/{promise.file}.py`: {tests} |"


def missing() -> Iterator[str]:
    """The tests that the table names and nobody wrote."""
    for promise in PROMISES:
        path = ROOT / "tests" / f"{promise.file}.py"
        there = _tests_in(path) if path.exists() else set()
        yield from (f"{promise.file}: {name}" for name in promise.tests if name not in there)


def _tests_in(path: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def inserted(document: str) -> str:
    """`document` with the table as it is now."""
    return replaced(document, BEGIN, END, table())


def main(arguments: Sequence[str]) -> None:
    for path in map(Path, arguments):
        path.write_text(inserted(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
