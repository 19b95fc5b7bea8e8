"""The check of what documents are parsed in."""

from cluster.confinement import Layers
from cluster.doctor.check import Check

__all__ = ["check_sandbox"]

_ADVICE = (
    "Documents are parsed with fewer walls around them. Landlock and seccomp need Linux 5.13 or "
    "later; namespaces need root or `user.max_user_namespaces` above 0 in the container."
)


def check_sandbox(layers: Layers | None, *, required: bool) -> Check:
    """Tell which layers of the parsers' sandbox this machine has.

    Without a wall to the network and the files it is a failure where the settings ask for one.
    """
    if layers is None:
        found, missing = "no process could take on any layer", {"all": ""}
    else:
        missing = layers.missing()
        found = "; ".join(f"{name}: {said}" for name, said in missing.items())
    if not missing:
        return Check("parser sandbox", "ok", "namespaces, user, files, calls and limits in force")
    if layers is not None and layers.is_shut:
        return Check("parser sandbox", "ok", f"no network and no files; but {found}")
    return Check("parser sandbox", "fail" if required else "warn", found, _ADVICE)
