"""What a command says when the disk is full."""

import errno

import pytest
import typer

from cluster.cli.exits import FAILED, guarded


def test_a_full_disk_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    @guarded
    def export() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/out.gguf")

    with pytest.raises(typer.Exit) as caught:
        export()
    assert caught.value.exit_code == FAILED
    assert "No space is left" in capsys.readouterr().err


def test_another_failure_of_the_system_is_not_hidden() -> None:
    @guarded
    def export() -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        export()
