"""Models and adapters to and from a model hub, through `huggingface_hub`.

The hub is Hugging Face's, the one that HF_ENDPOINT names, or any that speaks the same API and is
named by URL. A token that was meant for the first is not sent to the last.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from training.errors import HubError
from training.export.card import model_card
from training.export.lineage import Lineage
from training.export.target import new_folder

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

__all__ = ["HubTarget", "parse_target", "pull", "push"]

_CARD: Final = "README.md"
_REPO: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_PAGES: Final = frozenset({"tree", "blob", "resolve", "commit", "models", "datasets", "spaces"})


@dataclass(frozen=True, slots=True)
class HubTarget:
    """A repository on a hub."""

    repo: str
    """OWNER/NAME."""
    endpoint: str | None = None
    """Base URL of a hub that is not the default one."""

    @property
    def url(self) -> str:
        """Where a person finds it."""
        return f"{self.endpoint or _default_endpoint()}/{self.repo}"


def parse_target(text: str) -> HubTarget:
    """Read OWNER/NAME or a hub's URL ending in it. Raises HubError for anything else."""
    endpoint, path = None, text
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or "@" in parts.netloc or parts.query:
            raise HubError(
                f"{text!r} is not the URL of a repository.",
                fix="Give https://HOST/OWNER/NAME; a token goes into an environment variable.",
            )
        *prefix, owner, name = ["", *parts.path.strip("/").split("/")]
        path = f"{owner}/{name}"
        endpoint = "/".join([f"{parts.scheme}://{parts.netloc}", *filter(None, prefix)])
    if not _REPO.fullmatch(path) or path.partition("/")[0] in _PAGES:
        raise HubError(
            f"{text!r} names no repository.",
            fix="Give OWNER/NAME, or https://HOST/OWNER/NAME without a branch or file.",
        )
    return HubTarget(path, None if endpoint == _default_endpoint() else endpoint)


def push(
    path: Path,
    target: str,
    *,
    token: str | None = None,
    private: bool = True,
    lineage: Lineage | None = None,
) -> str:
    """Put a folder, or a single file, into a repository as one commit; gives the commit's URL.

    The repository is made when it is missing. A model card is added unless the folder has one.
    Without `token`, the default hub gets what `huggingface_hub` finds, another one none. Raises
    HubError; one case is an existing public repository while `private` is asked for.
    """
    from huggingface_hub import HfApi

    found = parse_target(target)
    if not path.exists():
        raise HubError(f"{path} does not exist.", fix="Correct the path.")
    api = HfApi(endpoint=found.endpoint, token=_token(found, token))
    with _translated(found):
        api.create_repo(found.repo, private=private, exist_ok=True)
        if private and api.model_info(found.repo).private is False:
            raise HubError(
                f"{found.url} is public.",
                fix="Give --public to publish there, or push to a repository of another name.",
            )
        commit = api.create_commit(
            found.repo,
            operations=_additions(path, found.repo.rpartition("/")[2], lineage),
            commit_message=f"Push {path.name} with Everloop",
        )
    return str(commit.commit_url)


def pull(
    source: str,
    folder: Path,
    *,
    revision: str = "main",
    token: str | None = None,
    force: bool = False,
) -> Path:
    """Fetch every file of a repository into `folder`, which appears whole or not at all.

    `revision` is a branch, tag or commit. Raises HubError, or ExportError when `folder` is taken.
    """
    from huggingface_hub import snapshot_download

    found = parse_target(source)
    with new_folder(folder, force=force) as work, _translated(found, revision):
        snapshot_download(
            found.repo,
            revision=revision,
            local_dir=work,
            endpoint=found.endpoint,
            token=_token(found, token),
        )
        shutil.rmtree(work / ".cache", ignore_errors=True)
    return folder


def _additions(path: Path, title: str, lineage: Lineage | None) -> "list[CommitOperationAdd]":
    from huggingface_hub import CommitOperationAdd

    folder = path if path.is_dir() else path.parent
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    names = {file: file.relative_to(folder).as_posix() for file in files}
    added = [
        CommitOperationAdd(name, file)
        for file, name in names.items()
        if not any(part.startswith(".") for part in name.split("/"))
    ]
    if _CARD not in names.values():
        card = model_card(path, title, lineage)
        added.append(CommitOperationAdd(_CARD, card.encode()))
    return added


def _token(target: HubTarget, token: str | None) -> str | bool | None:
    """None lets huggingface_hub look for one, False sends none."""
    return token or (None if target.endpoint is None else False)


def _default_endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


@contextmanager
def _translated(target: HubTarget, revision: str = "main") -> Iterator[None]:
    """Turn what huggingface_hub and the HTTP library below it raise into a HubError."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    # httpx or its successor, by the version of huggingface_hub.
    http_error: type[Exception] = HfHubHTTPError.__bases__[0]
    try:
        yield
    except LocalEntryNotFoundError as error:  # what a failed download of a snapshot ends as
        raise _error_of(target, revision, error.__cause__ or error) from error
    except (http_error, OSError, RuntimeError, ValueError) as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) else None
        raise _error_of(target, revision, cause or error) from error


def _error_of(target: HubTarget, revision: str, error: BaseException) -> HubError:
    from huggingface_hub.errors import (
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return HubError(
            f"{target.url} was not asked: HF_HUB_OFFLINE is set.", fix="Unset it and try again."
        )
    if isinstance(error, RevisionNotFoundError):
        return HubError(
            f"{target.url} has no revision {revision!r}.", fix="Give a branch, tag or commit of it."
        )
    if not isinstance(error, HfHubHTTPError):
        return HubError(
            f"{target.url} cannot be reached: {_words(error)}.",
            fix="Check the URL and the network (HF_ENDPOINT, HTTPS_PROXY, HF_HUB_OFFLINE). Where "
            "the hub is up and only large files fail, try HF_HUB_DISABLE_XET=1.",
        )
    status = error.response.status_code
    fixes = {
        401: "Set HF_TOKEN, or name with --token-env the variable that holds this hub's token.",
        403: "Use a token that may write there; a gated repository's terms must be accepted.",
        404: "Check owner and name. A private repository looks missing to who may not read it.",
    }
    fix = fixes.get(status, "Try again later; what was there before is unchanged.")
    return HubError(f"{target.url} answered {status}: {_words(error)}", fix=fix)


def _words(error: BaseException) -> str:
    message = getattr(error, "server_message", None) or str(error) or repr(error)
    return " ".join(str(message).split())[:300]
