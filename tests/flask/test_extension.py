from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tusjumbo import Jumbo
from tusjumbo.errors import ConfigurationError
from tusjumbo.flask import get_jumbo, init_jumbo


def created(directory: Path, **options: Any) -> Flask:
    """An application factory."""
    app = Flask(__name__)
    app.config["JUMBO_CONFIG"] = {"upload_path": str(directory), **options}
    init_jumbo(app)
    return app


def test_it_is_made_from_the_configuration(tmp_path: Path) -> None:
    app = Flask(__name__)
    app.config["JUMBO_CONFIG"] = {
        "upload_path": str(tmp_path),
        "max_file_size": 7 * 1024**3,
        "chunk_size": 1024,
        "expire_after": "3d",
    }
    before = set(app.extensions)
    jumbo = init_jumbo(app)
    settings = jumbo.settings
    assert isinstance(jumbo, Jumbo)
    assert settings.upload_dir == tmp_path
    assert settings.max_size == 7 * 1024**3
    assert settings.chunk_size == 1024
    assert settings.expire_after == 3.0 * 86400
    assert app.extensions["jumbo"] is jumbo
    assert set(app.extensions) - before == {"jumbo"}
    assert [rule.endpoint for rule in app.url_map.iter_rules()] == ["static"]
    assert not app.before_request_funcs
    assert not app.after_request_funcs


def test_without_a_configuration_it_is_the_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = init_jumbo(Flask(__name__)).settings
    assert settings.max_size == 5 * 1024**3
    assert settings.chunk_size == 5 * 1024**2
    assert list(tmp_path.iterdir()) == []


def test_arguments_come_before_the_configuration(tmp_path: Path) -> None:
    app = created(tmp_path, chunk_size=5, max_file_size=10)
    assert init_jumbo(app, chunk_size=6).settings.chunk_size == 6
    assert app.extensions["jumbo"].settings.chunk_size == 6
    assert app.extensions["jumbo"].settings.max_size == 10


@pytest.mark.parametrize("options", [{"chunk_sise": 5}, {"chunk_size": "x"}, {"chunk_size": 0}])
def test_what_cannot_work_is_said_at_once(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        created(tmp_path, **options)


def test_each_application_has_its_own(tmp_path: Path) -> None:
    apps = [created(tmp_path / name) for name in ("one", "two")]
    ids = []
    for app in apps:
        with app.app_context():
            assert get_jumbo() is app.extensions["jumbo"]
            ids.append(get_jumbo().start_upload("a", 10)["upload_id"])
    for app, here, there in zip(apps, ids, reversed(ids), strict=True):
        with app.app_context():
            assert get_jumbo().get_status(here)["status"] == "uploading"
            assert get_jumbo().get_status(there) == {"status": "not_found"}


def test_applications_may_share_their_uploads(tmp_path: Path) -> None:
    one, two = created(tmp_path), created(tmp_path)
    with one.app_context():
        upload_id = get_jumbo().start_upload("a", 3)["upload_id"]
    with two.app_context():
        assert get_jumbo().upload_chunk(upload_id, 0, b"abc")["status"] == "completed"


def test_an_application_that_has_none() -> None:
    app = Flask("shop")
    with app.app_context(), pytest.raises(RuntimeError, match=r"shop has no Jumbo: .*init_jumbo"):
        get_jumbo()


def test_outside_of_any_application() -> None:
    with pytest.raises(RuntimeError, match="application context"):
        get_jumbo()


def test_flask_is_not_needed_for_anything_else() -> None:
    script = (
        "import sys; sys.modules['flask'] = None\n"
        "import tusjumbo; [getattr(tusjumbo, name) for name in tusjumbo.__all__]\n"
        "import tusjumbo.elephants\n"
        "try: import tusjumbo.flask\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == "tusjumbo.flask needs Flask: pip install 'tusjumbo[flask]'\n"
