"""Programs with an installed trio that cannot be imported, as after eventlet's or gevent's monkey patching."""

import pytest

from runtimes.processes import finish, start


@pytest.mark.parametrize("form", ["direct", "submitted", "task"])
def test_reports_need_no_trio(form, over_http, tmp_path, monkeypatch):
    package = tmp_path / "trio"
    package.mkdir()
    (package / "__init__.py").write_text("from trio import first\n")
    (package / "first.py").write_text("raise AttributeError('socket.socket has no attribute sendmsg')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("XPANDER_OUTBOX", str(tmp_path / "outbox.db"))
    program = finish(start(over_http, "log_handler.log_one_record", form, "INFO"))
    assert program.result[0] == ["the program's record"]
