"""`ray.serve.llm` with its own defaults: `python -m tests.benchmarks.ray_serve_llm --port N`.

Serves the packaged model on `--port` until it is terminated. Only what a CPU needs is set; queues,
batching of the stream, ingress and routing are as they come.
"""

import argparse
import os
import shutil
import signal
import tempfile

from cluster.models import ensure_model
from cluster.settings import load_settings


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

    import ray
    from ray import serve
    from ray.serve.llm import LLMConfig, ModelLoadingConfig, build_openai_app

    settings = load_settings()
    model = settings.models[0]
    path = ensure_model(model.source, settings.cache_dir)
    config = LLMConfig(
        model_loading_config=ModelLoadingConfig(model_id=model.id, model_source=str(path)),
        accelerator_config={"kind": "cpu"},
        engine_kwargs={
            "dtype": model.dtype,
            "enforce_eager": True,
            "max_model_len": model.max_context_tokens,
            "kv_cache_memory_bytes": int(model.kv_cache_gib * 1024**3),
        },
    )
    folder = tempfile.mkdtemp(prefix="rsl-")
    # Its two ingress replicas and the model ask for a CPU each.
    ray.init(
        address="local", num_cpus=8, include_dashboard=False, _temp_dir=folder, log_to_driver=False
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(build_openai_app({"llm_configs": [config]}), blocking=False)
        signal.pause()
    except KeyboardInterrupt:
        serve.shutdown()
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
