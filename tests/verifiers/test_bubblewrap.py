"""The command of a container: what it needs of this machine is found, or named."""

import os
import sys

import pytest

from whit.verifiers import _bubblewrap

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no bubblewrap elsewhere")


def test_the_libraries_of_python_are_found_where_path_is_narrow(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert os.path.basename(_bubblewrap._ldd()) == "ldd"
    assert _bubblewrap._shared_libraries.__wrapped__()


def test_without_ldd_it_is_ldd_that_is_named_and_how_to_have_it(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(OSError, match=r"bubblewrap is there, and the program 'ldd'.* is not: .*libc-bin"):
        _bubblewrap._ldd()
