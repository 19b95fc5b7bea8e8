"""Checks of the machine: processor, GPU, memory, disk, ports."""

from collections.abc import Callable, Iterable
from pathlib import Path

from cluster.doctor.check import Check
from cluster.private_folder import is_open_to_others
from cluster.settings import Settings, is_loopback

__all__ = [
    "check_data_folder",
    "check_disk",
    "check_gpu",
    "check_memory",
    "check_placement",
    "check_ports",
    "check_processor",
    "check_ray_exposure",
    "flags_of",
]

_GIB = 1024**3


def check_processor(flags: frozenset[str], settings: Settings) -> Check:
    """Look for AVX2, which vLLM on CPU needs, and AVX-512, which makes bfloat16 worth it."""
    if not any(model.device == "cpu" for model in settings.models):
        return Check("processor", "ok", "no model runs on the CPU")
    if not flags:
        return Check("processor", "warn", "its features cannot be read", "AVX2 is needed.")
    if "avx2" not in flags:
        return Check(
            "processor",
            "fail",
            "no AVX2",
            "vLLM's CPU build needs AVX2: use a newer machine, or a GPU (EVERLOOP_PROFILE=gpu).",
        )
    if "avx512f" in flags:
        return Check("processor", "ok", "AVX2 and AVX-512")
    slow = [m.id for m in settings.models if m.device == "cpu" and m.dtype not in {"float32"}]
    if slow:
        return Check(
            "processor",
            "warn",
            f"AVX2 without AVX-512, and {', '.join(slow)} is not float32",
            "Set the model's dtype to float32: bfloat16 is about 5 times slower here.",
        )
    return Check("processor", "ok", "AVX2")


def check_gpu(gpus: list[str] | None, settings: Settings) -> Check:
    """Compare the GPUs that the driver shows with those the settings ask for.

    `gpus` is None where there is no driver.
    """
    wanted = _gpus_wanted(settings)
    found = "no NVIDIA driver" if gpus is None else ", ".join(gpus) or "a driver without GPUs"
    if wanted == 0:
        return Check("gpu", "ok", f"{found}; none is needed")
    if not gpus:
        return Check(
            "gpu",
            "fail",
            f"{found}, but the settings put models on {wanted} GPU(s)",
            "Install the NVIDIA driver (`nvidia-smi` must work), or set EVERLOOP_PROFILE=local.",
        )
    return Check("gpu", "ok", found)


def check_memory(available: int, settings: Settings, *, running: bool) -> Check:
    """Compare free memory with what the settings' processes take at least."""
    cpu_replicas = sum(m.min_replicas for m in settings.models if m.device == "cpu")
    kv = sum(m.min_replicas * m.kv_cache_gib for m in settings.models if m.device == "cpu")
    needed = 3.0 + 2.0 * cpu_replicas + kv + settings.ray.object_store_mib / 1024
    free = available / _GIB
    found = f"{free:.1f} GiB free"
    if running:
        return Check("memory", "warn" if free < 0.5 else "ok", f"{found} while Everloop runs")
    advice = "End other programs, or lower kv_cache_gib, parsers and replicas."
    if free < 0.6 * needed:
        return Check("memory", "fail", f"{found}, about {needed:.1f} GiB needed", advice)
    if free < needed:
        return Check("memory", "warn", f"{found}, about {needed:.1f} GiB needed", advice)
    return Check("memory", "ok", found)


def check_disk(folder: str, free: int | None, needed_gib: float) -> Check:
    """Look at the room under `folder`; None says that it cannot be written."""
    if free is None:
        return Check(
            f"disk {folder}",
            "fail",
            "cannot be written",
            "Change its owner, or set another folder.",
        )
    found = f"{free / _GIB:.1f} GiB free"
    advice = f"Make room: {needed_gib:.1f} GiB are wanted."
    if free < 0.25 * needed_gib * _GIB:
        return Check(f"disk {folder}", "fail", found, advice)
    if free < needed_gib * _GIB:
        return Check(f"disk {folder}", "warn", found, advice)
    return Check(f"disk {folder}", "ok", found)


def check_data_folder(folder: Path) -> Check:
    """Look whether other users of the machine can read what is kept here."""
    try:
        is_open = is_open_to_others(folder)
    except OSError as error:
        return Check("data folder", "warn", f"{folder}: {error.strerror}")
    if is_open:
        found = f"{folder} can be looked into by every user of this machine"
        return Check("data folder", "warn", found, f"chmod o-rwx {folder}")
    return Check("data folder", "ok", f"{folder} is closed to other users")


def check_ports(
    settings: Settings, listener_on: Callable[[int], str | None], *, running: bool
) -> Check:
    """Look for other programs on the ports that `up` takes."""
    ports = {"http.port": settings.http.port}
    if settings.ray.address is None:
        ports["ray.port"] = settings.ray.port
        ports["ray.dashboard_port"] = settings.ray.dashboard_port
        ports["ray.metrics_port"] = settings.ray.metrics_port
    if settings.milvus.uri is None:
        ports["milvus.port"] = settings.milvus.port
    twice = [name for name, port in ports.items() if list(ports.values()).count(port) > 1]
    if twice:
        return Check("ports", "fail", f"{' and '.join(twice)} are equal", "Give each its own.")
    if running:
        return Check("ports", "ok", "in use by this Everloop")
    taken = {name: owner for name, port in ports.items() if (owner := listener_on(port))}
    if taken:
        found = "; ".join(f"{name} {ports[name]} by {owner}" for name, owner in taken.items())
        variables = ", ".join(f"EVERLOOP_{n.upper().replace('.', '__')}" for n in taken)
        return Check("ports", "fail", f"taken: {found}", f"End it, or set {variables}.")
    return Check("ports", "ok", "free")


def check_placement(settings: Settings, cpus: float, gpus: int) -> Check:
    """Compare what the deployments reserve at least with what the cluster has."""
    demand = sum(m.min_replicas * m.cpus_per_replica for m in settings.models)
    demand += settings.embedding.replicas * settings.embedding.cpus_per_replica
    demand += settings.retrieval.replicas * settings.retrieval.cpus_per_replica
    demand += settings.http.replicas * settings.http.cpus_per_replica
    demand += settings.evaluation.cpus_per_replica + settings.training.cpus_per_replica
    wanted_gpus = _gpus_wanted(settings)
    largest = max(m.cpus_per_replica for m in settings.models)
    asked = f"{demand:g} CPUs and {wanted_gpus} GPUs asked, {cpus:g} and {gpus} there"
    if demand > cpus or wanted_gpus > gpus or largest > cpus:
        return Check(
            "placement",
            "fail",
            asked,
            "Some replicas would wait for ever: lower cpus_per_replica, replicas or "
            "tensor_parallel, or raise ray.num_cpus.",
        )
    return Check("placement", "ok", asked)


def check_ray_exposure(listeners: Iterable[tuple[str, int, str]], *, front: int) -> Check:
    """Look for ports of Ray and Milvus Lite that other machines can reach: they ask for no key.

    `listeners` are (address, port, program); the port `front` is Ray Serve's, and meant to be.
    """
    exposed = sorted(
        f"{program} on {address}:{port}"
        for address, port, program in listeners
        if not is_loopback(address) and port != front
    )
    if exposed:
        return Check(
            "ray exposure",
            "fail",
            "; ".join(exposed),
            "Ray runs code for anyone who reaches it, and Milvus Lite shows everything. Start them "
            "with `everloop up`, or put a firewall before them and set RAY_AUTH_MODE=token.",
        )
    return Check("ray exposure", "ok", "Ray and Milvus listen on loopback only, or do not run")


def _gpus_wanted(settings: Settings) -> int:
    models: int = sum(
        m.min_replicas * m.tensor_parallel for m in settings.models if m.device == "gpu"
    )
    return models + (settings.embedding.replicas if settings.embedding.device == "gpu" else 0)


def flags_of(cpuinfo: str) -> frozenset[str]:
    """Read the processor's features from the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()
